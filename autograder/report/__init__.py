"""The class report: one page that shows where a class stands, with its numbers beside it.

Reading order: `records` gathers what is known of each submission, `statistics`,
`misconceptions` and `similarity` (of `forms`) look at it, `snapshots` compares it with the
previous run, `figures` and `page` show it, `tables` writes CSV and JSON,
`pseudonyms` hides who is who unless names are asked for. `write` does it all.
"""

from autograder.report.write import write_report

__all__ = ["write_report"]
