"""What staff need and learners never receive: authoring, grading, the solution bank."""

#: The program's name, and the distribution's.
NAME = "servemath"
