"""Lab 4: four systems, a queue in each, and what they promise."""
