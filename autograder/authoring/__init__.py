"""From authored text to notebooks, and from notebooks to what learners receive."""
