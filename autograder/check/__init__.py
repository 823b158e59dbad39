"""What an author wants to know before a change is shared, in seconds: `looks` first.

`chapter` is what there is to look at; `records`, `cells`, `solutions` and `theory` hold the
rules, each a generator of what breaks it. Tests hold the course to the same rules.
"""
