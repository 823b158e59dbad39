"""The machine that the course works on: its environment, what it lacks, JupyterLab on it."""
