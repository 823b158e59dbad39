"""Feedback pages in a real browser: nothing of a learner runs, all can be read anywhere."""

from __future__ import annotations

import http.server
import threading

import pytest
from axe_playwright_python.sync_playwright import Axe

from autograder import bank
from autograder.feedback import render
from autograder.feedback.facts import Exercise, Link, Result, Submission, Suspicion
from autograder.feedback.hidden import HiddenTests
from autograder.feedback.misconceptions import Misconception
from autograder.feedback.work import HandedIn, pieces
from tests.autograder import hostile

from .conftest import CHAPTER
from .jupyter import PATIENCE_S

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

RAN = "() => Object.keys(window).filter((name) => name.startsWith('ran_'))"


class Site:
    """A server on loopback: pages by path, and what was asked for that is no page."""

    def __init__(self):
        self.pages, self.asked = {}, []
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.path.strip("/")
                if name not in site.pages:
                    site.asked.append(name)
                body = site.pages.get(name, "").encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def site():
    made = Site()
    yield made
    made.close()


@pytest.fixture
def open_page(browser, site):
    """Return a function that opens HTML as a page of the site."""
    contexts = []

    def open_page(html, name="page", **options):
        site.pages[name] = html
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE_S * 1000)
        page.goto(f"{site.url}/{name}", wait_until="networkidle")
        return page

    yield open_page
    for context in contexts:
        context.close()


def misdeeds(page, site):
    """Return what a page did that it should not: marks set, its title changed, requests."""
    marks = [mark for frame in page.frames for mark in frame.evaluate(RAN)]
    asked = [name for name in site.asked if name != "favicon.ico"]
    return marks + [page.title()] * (page.title() == "owned") + asked


def bare(html, policy=""):
    return f"<!DOCTYPE html><html><head>{policy}<title>x</title></head><body>{html}</body></html>"


def without_policy(html):
    start = html.index('<meta http-equiv="Content-Security-Policy"')
    return html[:start] + html[html.index(">", start) + 1 :]


def click_all(page):
    for element in page.locator("main a, button, summary, main img").all():
        element.dispatch_event("click")


def test_the_vectors_are_alive_where_nobody_takes_care(open_page, site):
    """Or the tests below would prove nothing."""
    page, alive = open_page(bare("")), set()
    for name, html in hostile.html_vectors(site.url).items():
        site.asked.clear()
        site.pages["page"] = bare(html)
        page.goto(f"{site.url}/page", wait_until="networkidle")
        if misdeeds(page, site):
            alive.add(name)
    assert alive >= hostile.ALIVE


def test_on_the_page_none_of_them_does_anything(open_page, site):
    html = render.page(hostile.submission(site.url))
    page = open_page(html, viewport={"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    click_all(page)
    page.wait_for_load_state("networkidle")
    assert misdeeds(page, site) == []
    assert len(page.frames) == 1
    assert page.locator("main").is_visible()


def test_cleaning_alone_holds_without_the_policy(open_page, site):
    html = without_policy(render.page(hostile.submission(site.url)))
    assert "Content-Security-Policy" not in html
    page = open_page(html)
    click_all(page)
    page.wait_for_load_state("networkidle")
    assert misdeeds(page, site) == []


def test_the_policy_alone_stops_scripts_and_loads(open_page, site):
    policy = render.content_security_policy("")
    meta = f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    vectors = hostile.html_vectors(site.url)
    del vectors["refresh"]  # a policy in a page cannot stop it: cleaning has to
    page = open_page(bare("".join(vectors.values()), meta))
    assert misdeeds(page, site) == []


LONG = "a_very_long_name_without_any_blank_in_it_" * 6


def honest_submission():
    """Return a page with all it can hold, and with what is too wide for a phone."""
    cells = hostile.notebook("http://127.0.0.1:9").cells[:1]
    cells[0].source = f"def mm1(lam, mu):\n    {LONG} = 1\n    return {LONG}"
    columns = "".join(f"<td>{number}.123456789</td>" for number in range(30))
    cells[0].outputs = [
        hostile.display({"text/html": f"<table><tr>{columns}</tr></table>"}),
        hostile.display(
            {
                "text/html": "<figure><img alt='W over rho' src='data:image/png;base64,"
                f"{hostile.PIXEL}' width=3000><details><summary>As a table</summary>"
                "<table><tr><th scope=col>rho</th></tr><tr><td>0.5</td></tr></table></details>"
                "</figure>"
            }
        ),
        {"output_type": "stream", "name": "stdout", "text": LONG},
    ]
    notebook = hostile.nbformat.v4.new_notebook(cells=cells)
    work = tuple(pieces(cells, HandedIn(notebook), HiddenTests([]), frozenset()))
    wrong = bank.load(CHAPTER)[1].wrong[0]
    found = Misconception("mm1", wrong.name, wrong.misconception, wrong.hint, wrong.section, 3)
    theory = Link("Theory 1.2 Utilisation and queueing", "../../theory.ipynb#1.2")
    exercises = (
        Exercise(
            "mm1",
            "A single server",
            2,
            theory,
            (
                Result("The keys", hidden=False, points=0.5, of=0.5),
                Result(LONG, hidden=False, points=0, of=0.5, message=f"{LONG} = 1\nHint: {LONG}"),
                Result("Idle server", hidden=True, points=0, of=1.5, why="It stopped."),
            ),
            (Suspicion(found, theory),),
            work,
            (f"Well begun.\n{LONG}",),
        ),
        Exercise("essay", "Essay", 3, tests=(Result("By hand", False, 0, 2, waiting=True),)),
    )
    return Submission(LONG, CHAPTER, "exercises", exercises, (LONG,), late_penalty=0.25)


@pytest.fixture(scope="module")
def honest():
    return render.page(honest_submission())


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_is_wider_than_the_screen(open_page, honest, width):
    page = open_page(honest, viewport={"width": width, "height": 800})
    root = "document.documentElement"
    assert page.evaluate(f"[{root}.scrollWidth, {root}.clientWidth]") == [width, width]
    scrolls = page.locator(".output").first.evaluate("(it) => it.scrollWidth > it.clientWidth")
    assert scrolls  # the wide table can be read all the same


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_axe_finds_nothing_in_either_scheme(open_page, honest, scheme, width):
    page = open_page(honest, color_scheme=scheme, viewport={"width": width, "height": 800})
    found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
    assert [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found] == []


def test_dark_is_dark_and_print_is_light(open_page, honest):
    page = open_page(honest, color_scheme="dark")
    brightness = """() => getComputedStyle(document.body).backgroundColor
      .match(/\\d+/g).slice(0, 3).map(Number).reduce((a, b) => a + b)"""
    assert page.evaluate(brightness) < 150
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate(brightness) == 3 * 255


def test_what_a_reader_closed_is_printed(open_page, honest):
    page = open_page(honest)
    code, table = page.locator("pre.code").first, page.get_by_role("columnheader", name="rho")
    page.evaluate("() => document.querySelectorAll('details').forEach((it) => it.open = false)")
    shown = "(it) => it.checkVisibility({contentVisibilityAuto: true})"
    assert not code.evaluate(shown)
    page.emulate_media(media="print")
    assert code.evaluate(shown) and code.bounding_box()["height"] > 20
    assert table.evaluate(shown) or page.locator("figure th").evaluate(shown)


def test_the_page_is_one_file_that_asks_for_nothing(open_page, honest, site):
    page = open_page(honest)
    assert [name for name in site.asked if name != "favicon.ico"] == []
    assert page.locator("style").count() == 1 and page.locator("script, link").count() == 0
    background = page.locator(".box").first.evaluate("(it) => getComputedStyle(it).borderTopStyle")
    assert background == "solid"  # the policy lets the page's own style through


def test_a_summary_on_a_phone_is_still_a_table(open_page, honest):
    page = open_page(honest, viewport={"width": 390, "height": 800})
    rows = page.get_by_role("table").first.get_by_role("row")
    assert rows.count() == 5
    assert page.get_by_role("rowheader", name="A single server").is_visible()
    page.get_by_role("link", name="A single server").click()
    assert page.url.endswith("#mm1")
