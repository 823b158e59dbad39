"""In every other chapter: right, wrong, borrowed and missing work gets what it deserves."""

import pytest

from autograder.course import Course

from .golden import ONE_OF_A_KIND, Graded

pytestmark = pytest.mark.timeout(900)


@pytest.mark.parametrize("chapter", Course.at().chapters()[1:])
def test_each_submission_of_a_chapter_gets_the_score_it_deserves(chapter, tmp_path_factory):
    graded = Graded(tmp_path_factory, chapter, thorough=False)
    assert len(graded.cases) == len(ONE_OF_A_KIND)
    assert {student: row.scores for student, row in graded.rows.items()} == {
        student: case.scores for student, case in graded.cases.items()
    }
    for student, case in graded.cases.items():
        assert case.remark in "; ".join(graded.rows[student].notes)
    assert graded.done.returncode == 0
    assert graded.table.all_graded
