"""Nothing that a learner wrote runs, loads or leads away; what is honest survives."""

import base64
import re
from html.parser import HTMLParser

import nbformat
import pytest
from nbconvert import HTMLExporter
from nbgrader.server_extensions.formgrader.handlers import template_path
from traitlets.config import Config
from traitlets.config.loader import PyFileConfigLoader

from autograder.course import HOME
from autograder.feedback import render, safe
from autograder.feedback.facts import Exercise, Result, Submission
from autograder.feedback.hidden import HiddenTests
from autograder.feedback.work import HandedIn, pieces, shown

from . import hostile
from .conftest import code_cell, notebook_of

SERVER = "http://127.0.0.1:9"


class Elements(HTMLParser):
    """Every element of a page with its attributes, and its text."""

    def __init__(self, page):
        super().__init__(convert_charrefs=True)
        self.found, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


#: All that a page is made of; `svg` and `rect` are the bar over the table.
OURS = (
    "html head meta title style body header main footer h1 h2 h3 h4 h5 h6 p strong svg rect div "
    "table thead tbody tfoot tr th td a bdi code pre span section ul ol li details summary img "
    "em b figure figcaption br"
)


@pytest.fixture(scope="module")
def page():
    return Elements(render.page(hostile.submission(SERVER)))


def test_no_element_can_run_or_load_anything(page):
    assert {tag for tag, _ in page.found} <= set(OURS.split())
    assert len(page.all("style")) == 1 and len(page.all("html")) == 1
    for _, attributes in page.found:
        assert not [name for name in attributes if name.startswith("on")]
        assert not {"style", "srcset", "srcdoc", "poster", "ping", "action"} & attributes.keys()
        assert attributes.get("src", "data:image/").startswith("data:image/")


def test_links_lead_to_the_page_itself_or_where_staff_say(page):
    assert {link["href"] for link in page.all("a") if "href" in link} == {"#mm1"}


def test_meta_elements_are_ours_and_the_policy_allows_nothing(page):
    policy = [
        m["content"]
        for m in page.all("meta")
        if "content-security-policy" in m.get("http-equiv", "").lower()
    ]
    assert len(policy) == 1 and "refresh" not in str(page.all("meta"))
    rules = dict(rule.strip().split(" ", 1) for rule in policy[0].split(";"))
    assert rules["default-src"] == "'none'" and rules["img-src"] == "data:"
    assert rules["form-action"] == rules["base-uri"] == "'none'"
    assert "unsafe" not in policy[0] and "http" not in policy[0]


def test_the_policy_comes_before_all_it_is_about(page):
    names = [(tag, "http-equiv" in attributes) for tag, attributes in page.found]
    assert names.index(("meta", True)) < names.index(("style", False))


def test_the_policy_names_the_style_that_the_page_holds():
    html = render.page(hostile.submission(SERVER))
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)[1]
    assert f'content="{render.content_security_policy(style)}"'.replace("'", "&#39;") in html


@pytest.mark.parametrize("name", sorted(hostile.html_vectors(SERVER)))
def test_each_piece_of_html_is_harmless_by_itself(name):
    cleaned = safe.clean_html(hostile.html_vectors(SERVER)[name])
    elements = Elements(str(cleaned))
    assert {tag for tag, _ in elements.found} <= {"img", "div", "details", "summary", "p"}
    for _, attributes in elements.found:
        assert attributes.keys() <= {"alt"}
    assert "window.ran" not in re.sub(r"&[a-z]+;", "", str(cleaned))


def test_text_is_shown_as_it_is(page):
    assert "<script>window.ran_plain=1</script>" in page.text
    assert "<script>window.ran_stream=1</script>" in page.text
    assert "<script>window.ran_ename=1</script>: <script>window.ran_evalue=1</script>" in page.text


def test_drawings_stand_as_pictures_with_what_they_say_of_themselves(page):
    (drawing,) = [i for i in page.all("img") if i.get("src", "").startswith("data:image/svg")]
    assert drawing["alt"] == "A drawing of L < 3"


def test_what_is_no_picture_is_not_shown_as_one():
    script = base64.b64encode(b"<script>").decode()
    assert safe.picture_url("image/png", script) is None
    assert safe.picture_url("image/svg+xml", hostile.PIXEL) is None
    assert safe.picture_url("image/png", "no base64!") is None
    assert safe.picture_url("image/png", hostile.PIXEL * 40_000) is None
    lines = [hostile.PIXEL[:40] + "\n", hostile.PIXEL[40:]]
    assert safe.picture_url("image/png", lines) == f"data:image/png;base64,{hostile.PIXEL}"


def test_figures_of_the_course_keep_their_alt_text_and_table(monkeypatch):
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    from servemath_helpers.plotting import show

    made = []
    monkeypatch.setattr("IPython.display.display", made.append)
    figure, _ = plt.subplots(figsize=(1, 1))
    show(figure, "W grows without bound <as> rho nears 1", {"rho": [0.5, 0.9], "W": [2, 10]})
    cleaned = Elements(str(shown(hostile.display({"text/html": made[0]._repr_html_()}))))
    (picture,) = cleaned.all("img")
    assert picture["alt"] == "W grows without bound <as> rho nears 1"
    assert picture["src"].startswith("data:image/png;base64,iVBOR")
    assert [tag for tag, _ in cleaned.found][:2] == ["figure", "img"]
    assert cleaned.all("th") == [{"scope": "col"}, {"scope": "col"}]
    assert "The figure as a table" in cleaned.text and "0.9" in cleaned.text


def test_tables_as_pandas_writes_them_keep_their_cells():
    html = (
        "<div><style scoped>.dataframe tbody {}</style><table border='1' class='dataframe'><thead>"
        "<tr style='text-align:right'><th></th><th>W</th></tr></thead><tbody><tr><th>0</th>"
        "<td>2.5</td></tr></tbody></table></div>"
    )
    assert str(safe.clean_html(html)) == (
        "<div><table><thead><tr><th></th><th>W</th></tr></thead><tbody><tr><th>0</th>"
        "<td>2.5</td></tr></tbody></table></div>"
    )


@pytest.mark.parametrize(
    ("data", "seen"),
    [
        (
            {"text/html": "<script>x()</script>", "text/plain": "<Plain>"},
            "<pre>&lt;Plain&gt;</pre>",
        ),
        ({"image/png": "no", "text/plain": "a figure"}, "<pre>a figure</pre>"),
        ({"text/html": ["<b>a", "</b>"], "text/plain": "no"}, "<b>a</b>"),
        ({"text/latex": "$\\rho$", "text/plain": "no"}, "<pre>$\\rho$</pre>"),
        ({"text/markdown": ["*a*"], "text/plain": "no"}, "<p><em>a</em></p>"),
    ],
)
def test_the_best_form_that_can_be_shown_is_shown(data, seen):
    assert str(shown(hostile.display(data))).strip() == seen


def test_an_output_of_another_kind_is_named():
    assert "an output of type application/x is not shown" in shown(
        {"output_type": "display_data", "data": {"application/x": {}}}
    )


@pytest.mark.parametrize(
    "output",
    [
        None,
        7,
        "text",
        [],
        {},
        {"output_type": "stream"},
        {"output_type": "display_data"},
        {"output_type": "stream", "text": " \n"},
        {"output_type": "execute_result", "data": []},
        {"output_type": "display_data", "data": {"text/plain": None}},
    ],
)
def test_of_a_damaged_output_nothing_is_shown(output):
    found = shown(output)
    assert found is None or "not shown here" in found


@pytest.mark.parametrize(
    "damaged",
    [
        None,
        [],
        {},
        {"cells": 3},
        {"cells": [None, 3, {"x": 1}]},
        {"cells": [{"cell_type": "code", "outputs": {"a": 1}}]},
    ],
)
def test_a_damaged_notebook_has_no_outputs(damaged):
    assert HandedIn(damaged).of(code_cell("")) == ()


def test_cells_of_equal_code_keep_their_own_outputs_in_turn():
    def cell(said):
        made = code_cell("print(x)")
        made.outputs = [{"output_type": "stream", "name": "stdout", "text": said}]
        return made

    handed_in = HandedIn(notebook_of(cell("one"), cell("two")))
    assert [str(handed_in.of(code_cell("print(x)"))) for _ in range(3)] == [
        "(Markup('<pre>one</pre>'),)",
        "(Markup('<pre>two</pre>'),)",
        "()",
    ]


def test_text_of_any_length_is_cut_and_says_so():
    assert safe.clean_text("x" * 50, 10) == "x" * 10 + safe.CUT
    assert len(safe.clean_text("\x1b[31m" * 100_000, 10)) < 100
    assert "too large" in safe.clean_html("x" * (safe.MOST_HTML + 1))


def test_outputs_together_have_a_limit_too():
    cells = []
    for number in range(20):
        cell = code_cell(f"show({number})")
        html = "x" * (safe.MOST_HTML - 1)
        cell.outputs = [hostile.display({"text/html": html})]
        cells.append(cell)
    handed_in = HandedIn(notebook_of(*cells))
    sizes = [len(handed_in.of(cell)[0]) for cell in cells]
    assert sizes[0] == safe.MOST_HTML - 1 and sizes[-1] < 200


def test_many_cells_are_cut_and_say_so():
    cells = [code_cell(f"a = {number}") for number in range(100)]
    for cell in cells:
        cell.outputs = [{"output_type": "stream", "name": "stdout", "text": "x"}]
    found = list(pieces(cells, HandedIn(notebook_of(*cells)), HiddenTests([]), frozenset()))
    assert len(found) < 40 and "too many cells" in found[-1].text


def test_what_cannot_be_written_or_would_mislead_is_replaced():
    assert safe.clean_text("a\ud800b\x00c") == "a\ufffdb\ufffdc"
    assert safe.clean_text("\u202etxt.\u2066exe") == "txt.exe"
    assert safe.clean_text("\x1b]0;title\x07x\x1b[2J") == "x"
    page = render.page(hostile.submission("\ud800"))
    assert page.encode("utf-8")


def test_names_are_shown_where_their_direction_cannot_spread():
    page = Elements(render.page(Submission("\u05d0\u05d1", "ps1", "a", reason="\u05d0")))
    assert len(page.all("bdi")) == 2


def test_text_of_the_bank_may_hold_code_and_nothing_else():
    assert render.words("`a < b` <b>") == "<code>a &lt; b</code> &lt;b&gt;"


def test_markdown_of_a_learner_has_its_own_pictures_alone(page):
    near = [image for image in page.all("img") if image["alt"] == "near"]
    assert [image["src"] for image in near] == [f"data:image/png;base64,{hostile.PIXEL}"]
    assert "[a picture: far]" in page.text and "[a picture: bad]" in page.text


@pytest.mark.parametrize("source", ["[" * 20_000, "> " * 20_000, "*a_ " * 5_000, "![a](" * 4_000])
def test_markdown_of_any_kind_comes_to_an_end(source):
    assert len(safe.clean_markdown(source)) < 300_000


def test_messages_of_tests_are_text():
    test = Result("<i>t</i>", hidden=False, points=0, of=1, message="a<b>\nHint: <c>")
    page = render.page(Submission("s", "a", "n", (Exercise("e", "<u>E</u>", tests=(test,)),)))
    assert '<p class="message">a&lt;b&gt;\nHint: &lt;c&gt;</p>' in page
    assert "<i>" not in page and "<u>" not in page and "<c>" not in page


def in_formgrader(notebook, config):
    """Return the elements of formgrader's page of a submission."""
    exporter = HTMLExporter(
        config=config, template_name="formgrade", extra_template_basedirs=[template_path]
    )
    resources = {"base_url": "", "index": 0, "total": 1}
    return Elements(exporter.from_notebook_node(notebook, resources=resources)[0])


def alive(page):
    """Return which elements may run something, or ask somebody else's server."""
    return [
        (tag, attributes)
        for tag, attributes in page.found
        if tag in ("base", "iframe", "object", "script", "form", "style", "video")
        or any(name.startswith("on") for name in attributes)
        or any(SERVER in str(value) or "javascript:" in str(value) for value in attributes.values())
    ]


def test_formgrader_s_page_of_a_submission_has_nothing_in_it_that_runs():
    config = PyFileConfigLoader("nbgrader_config.py", path=str(HOME)).load_config()
    empty = in_formgrader(nbformat.v4.new_notebook(), config)
    notebook = hostile.notebook(SERVER)
    for mime in ("image/png", "image/jpeg"):
        notebook.cells[1].outputs.append(hostile.display({mime: "x"}))
        notebook.cells[1].outputs[-1].metadata[mime] = {"width": "1 onerror=x()"}
    notebook.cells[0].metadata["nbgrader"]["grade_id"] = "\"'><script>x()</script>"
    vectors = hostile.html_vectors(SERVER).values()
    notebook.cells += [nbformat.v4.new_markdown_cell(f"# Title\n\n{html}") for html in vectors]
    page = in_formgrader(notebook, config)
    assert alive(page) == alive(empty)
    assert len(page.all("h1")) == len(vectors)  # what is honest is there
    assert any(one.get("src", "").startswith("data:image/png") for one in page.all("img"))

    del notebook.metadata["widgets"]
    stock = Config({"HTMLExporter": {"sanitize_html": True}})
    assert len(alive(in_formgrader(notebook, stock))) > len(alive(empty)) + 10
