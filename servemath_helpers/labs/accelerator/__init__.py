"""Lab 5, your machine is the accelerator: measure it, serve with it, plan a fleet of it."""
