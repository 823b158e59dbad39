"""For everybody's nbgrader, as /etc/jupyter/nbgrader_config.py: which course, which exchange."""

c = get_config()  # noqa: F821 - nbgrader provides it

c.CourseDirectory.course_id = "servemath"
c.Exchange.root = "/srv/nbgrader/exchange"
