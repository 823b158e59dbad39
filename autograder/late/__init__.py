"""Late work: when something was handed in, when it was due, what that costs."""
