import pytest

from autograder.cells import parse_grade_id


def test_a_grade_id_names_exercise_role_and_property():
    name = parse_grade_id("littles_law__hidden__errors_and_units")
    assert (name.slug, name.role, name.property_in_words) == (
        "littles_law",
        "hidden",
        "errors and units",
    )


@pytest.mark.parametrize("grade_id", ["littles_law", "__hidden__x", "mm1__secret__x", ""])
def test_a_grade_id_outside_the_scheme_is_refused(grade_id):
    with pytest.raises(ValueError, match="grade_id must look like"):
        parse_grade_id(grade_id)
