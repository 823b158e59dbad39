"""What staff need and learners never receive: authoring, grading, the solution bank."""
