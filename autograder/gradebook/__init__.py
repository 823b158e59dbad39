"""What the gradebook says, read in one place; table, report, feedback and exports are views.

`reader` asks the gradebook, in few queries a class; `record` is what it and the outcomes say of an
assignment; `table` shows a record to a grader.
"""
