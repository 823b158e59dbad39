"""One browser and one scratch course for all; a page and fresh kernels for each test."""

from contextlib import suppress
from importlib.util import find_spec

import pytest

from autograder.authoring.build import build_text
from autograder.authoring.release import release, scratch_course
from autograder.course import HOME, Course
from autograder.demo.sample_class import Chapter
from autograder.files import write_atomically

if find_spec("playwright") and find_spec("axe_playwright_python"):
    from playwright.sync_api import expect

    from .jupyter import ALL_CELLS, PATIENCE_S, Lab, NoChromium, jupyter_lab, open_browser

    expect.set_options(timeout=PATIENCE_S * 1000)
else:
    # `make test-browser` installs them; the rest of the suite goes without.
    collect_ignore_glob = ["*.py"]

CHAPTERS = Course.at(HOME).chapters()
CHAPTER = CHAPTERS[0]


@pytest.fixture(scope="session")
def browser():
    try:
        with open_browser() as browser:
            yield browser
    except NoChromium as error:
        pytest.exit(f"servemath: {error}", returncode=1)


@pytest.fixture(scope="session")
def course(tmp_path_factory):
    """Return a course as an instructor has it: chapters built, released, a gradebook."""
    made = scratch_course(tmp_path_factory.mktemp("course"))
    (made.root / "docs").symlink_to(HOME / "docs")
    return made


@pytest.fixture(scope="session")
def released(course):
    """Return a function that makes sure a chapter is released in the scratch course."""
    done = set()

    def make(chapter):
        if chapter not in done:
            for text in course.texts(chapter):
                if not text.with_suffix(".ipynb").exists():
                    write_atomically(text.with_suffix(".ipynb"), build_text(text))
            release(course, chapter)
            done.add(chapter)
        return course.release / chapter

    return make


@pytest.fixture(scope="session")
def material(course, released):
    """Return what submissions of the first chapter are made of."""
    released(CHAPTER)
    return Chapter(course, CHAPTER)


@pytest.fixture(scope="session")
def exchange(tmp_path_factory):
    """Return the folder through which staff and learners pass assignments."""
    folder = tmp_path_factory.mktemp("exchange")
    folder.chmod(0o777)  # as nbgrader wants a folder that all its users share
    return folder


@pytest.fixture(scope="session")
def server_home(tmp_path_factory):
    """Return where the server, and the kernels it starts, keep what they remember."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def server(course, exchange, server_home):
    """Return a JupyterLab in the scratch course, every cell of a notebook in the page."""
    config = f"c.Exchange.root = {str(exchange)!r}\n"
    with jupyter_lab(course.root, server_home, ALL_CELLS, nbgrader_config=config) as server:
        yield server


@pytest.fixture
def open_lab(browser):
    """Return a function that opens a page on a JupyterLab; afterwards kernels are ended."""
    opened = []

    def make(server, **options):
        context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
        lab = Lab(context.new_page(), server)
        opened.append((context, lab))
        return lab

    yield make
    for context, lab in opened:
        context.close()
        with suppress(OSError):  # the test ended its server
            lab.server.end_sessions()


@pytest.fixture
def lab(open_lab, server):
    return open_lab(server)
