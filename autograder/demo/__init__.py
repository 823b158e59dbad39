"""The sample class: submissions of every kind, with the scores they deserve."""
