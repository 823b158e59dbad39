"""What every command stands on: the program, its ways to end, names, progress, findings."""
