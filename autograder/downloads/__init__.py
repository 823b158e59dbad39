"""nbgrader plug-ins that collect what Canvas and Moodle let graders download.

`names` reads what the platforms' file names say, `people` who that is in this course,
`extract` and `collect` are what plain ``nbgrader zip_collect`` runs.
"""
