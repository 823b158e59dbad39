"""Symbols come from one file."""

import pytest

from autograder.authoring.reference import symbol_table


def test_a_symbol_that_is_not_in_the_file_is_refused():
    with pytest.raises(ValueError, match="got nothing_like_it"):
        symbol_table("lam", "nothing_like_it")
