import nbformat
import pytest

from autograder.course import HOME, Course

COURSE = Course.at(HOME)
CHAPTERS = COURSE.chapters()


def built(chapter, name="exercises"):
    return nbformat.read(COURSE.source / chapter / f"{name}.ipynb", as_version=4)


@pytest.fixture(params=CHAPTERS)
def chapter(request):
    return request.param
