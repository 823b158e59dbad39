"""Formulas, facts and checks for the mathematics of LLM serving.

Import the module you need, for instance ``from servemath_helpers import queueing``.
Importing this package loads NumPy and the standard library only; what draws
pictures lives in `servemath_helpers.plotting`, which loads matplotlib when used.
"""

__version__ = "0.1.0"
