"""The class report in a real browser: nothing runs, nothing is loaded, it fits a phone."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from autograder.report import write_report

from ..autograder.small_course import (
    NAME,
    fill_gradebook,
    gradebook_of,
    hand_in,
    make,
    not_graded,
    record,
)

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

#: Each would change the page's title, or ask for an address, if it were more than text.
HOSTILE = [
    "<script>document.title = 'taken'</script>",
    "<img src=x onerror=\"document.title = 'taken'\">",
    "<svg onload=\"document.title = 'taken'\">",
    "<iframe srcdoc=\"<script>parent.document.title = 'taken'</script>\"></iframe>",
    "<style>body { display: none }</style>",
    "<meta http-equiv=refresh content='0; url=https://example.org/'>",
    "<a href=\"javascript:document.title = 'taken'\">",
    "<link rel=stylesheet href=https://example.org/a.css>",
    "<form action=https://example.org/><button>",
    "<object data=https://example.org/></object>",
    "--><body onload=\"document.title = 'taken'\">",
    "{{ config }}",
]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Return the page of a class with hostile ids and remarks, names shown."""
    course = make(tmp_path_factory.mktemp("course"))
    fill_gradebook(course)
    for number, text in enumerate(HOSTILE):
        student = text.replace("/", "")
        hand_in(course, student)
        if number % 4:
            record(course, student, number / len(HOSTILE), remarks=[text], first_name=text)
        else:
            not_graded(course, student, text)
    (course.root / "timings").mkdir()
    lines = [f"{student.name.replace(',', '')},double,1" for student in course.submitted.iterdir()]
    text = "\n".join(["student,exercise,seconds", *lines])
    (course.root / "timings" / f"{NAME}.csv").write_text(text)
    write_report(course, NAME, names=True)
    with gradebook_of(course) as gradebook:
        grade = gradebook.find_grade("double__hidden__large", "exercises", NAME, HOSTILE[1])
        grade.manual_score = 1.75
        gradebook.db.commit()
    return write_report(course, NAME, names=True)


@pytest.fixture
def open_report(browser, report):
    """Return a function that opens the page with a width and a colour scheme."""
    contexts = []

    def open_it(width, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.asked, page.said = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("console", lambda message: page.said.append(message.text))
        page.on("dialog", lambda dialog: page.said.append(dialog.message))
        page.goto(report.as_uri())
        return page

    yield open_it
    for context in contexts:
        context.close()


def test_nothing_runs_and_nothing_is_loaded(open_report, report):
    page = open_report(1280)
    page.wait_for_load_state("networkidle")
    assert page.title() == f"Class report: {NAME}"
    assert page.asked == [report.as_uri()]
    assert page.said == []  # the policy had nothing to forbid either
    assert "document.title = 'taken'</script>" in page.locator("main").inner_text()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_axe_finds_nothing(open_report, width, scheme):
    page = open_report(width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"][:200]) for one in found] == []


def test_figures_take_the_page_s_colours(open_report):
    fills = {
        scheme: open_report(1280, scheme).evaluate(
            "getComputedStyle(document.querySelector('svg .fill-bar')).fill"
        )
        for scheme in ("light", "dark")
    }
    assert fills["light"] != fills["dark"]


def test_in_print_every_table_is_whole(open_report):
    page = open_report(800)
    page.emulate_media(media="print")
    assert page.locator("nav").is_hidden()
    assert page.evaluate(
        "[...document.querySelectorAll('.wide')].every(e => "
        "getComputedStyle(e).overflowX === 'visible')"
    )
