import pytest

from autograder.course import HOME, Course

COURSE = Course.at(HOME)
CHAPTERS = COURSE.chapters()


@pytest.fixture(params=CHAPTERS)
def chapter(request):
    return request.param
