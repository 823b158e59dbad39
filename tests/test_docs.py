"""The documentation: the site builds, links lead somewhere, examples in Python run."""

import ast
import doctest
import pkgutil
import re
import subprocess
import sys
from collections import Counter

import nbformat
import pytest

import servemath_helpers
from autograder import exports
from autograder.attempts.policy import Attempts
from autograder.course import HOME, Course

from . import markdown_pages as markdown

DOCS = HOME / "docs"
PAGES = markdown.pages()
BLOCKS = [block for page in PAGES for block in markdown.blocks(page)]

each_page = pytest.mark.parametrize("page", PAGES)


# -- examples in Python ---------------------------------------------------------


@pytest.mark.parametrize(
    "page", sorted({b.page for b in BLOCKS if b.language == "python" and ">>>" in b.text})
)
def test_every_example_of_the_page_runs(page):
    failed, tried = doctest.testfile(str(HOME / page), module_relative=False, encoding="utf-8")
    assert tried and not failed


@pytest.mark.parametrize(
    "block",
    [b for b in BLOCKS if b.language == "python" and ">>>" not in b.text and not b.not_run],
    ids=lambda block: block.where,
)
def test_a_configuration_shown_on_a_page_is_accepted(block):
    """Python without prompts is a piece of `nbgrader_config.py`: options that exist."""
    from nbgrader.apps import NbGraderApp
    from traitlets.config import Config

    config = Config()
    exec(compile(block.text, block.where, "exec"), {"c": config, "get_config": lambda: config})
    assert config
    known = {cls.__name__: cls for cls in NbGraderApp().all_configurable_classes()}
    known |= {cls.__name__: cls for cls in [*plug_ins(), Attempts]}
    known |= {name: getattr(exports, name) for name in exports.__all__}
    for name, options in config.items():
        assert set(options) <= set(known[name].class_trait_names(config=True)), name


# -- links ----------------------------------------------------------------------


@each_page
def test_every_relative_link_leads_to_a_file_and_a_heading(page):
    broken = []
    for line, link in markdown.links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, anchor = markdown.target(page, link)
        if not path.exists() or not path.is_relative_to(HOME):
            broken.append(f"{page}:{line}: {link}: no such file")
            continue
        headings = markdown.anchors(path.relative_to(HOME).as_posix()) if anchor else {""}
        if anchor not in headings:
            broken.append(f"{page}:{line}: {link}: no such heading")
    assert broken == []


def test_anchors_are_those_of_github():
    assert markdown.slug("What `c.X` does: 1.5 s, or less?") == "what-cx-does-15-s-or-less"


def test_no_picture_is_without_words():
    for page in PAGES:
        text = (HOME / page).read_text(encoding="utf-8")
        assert not re.search(r"!\[\s*\]\(", text), page


# -- the site ---------------------------------------------------------------------


def plug_ins():
    """Return our classes and functions that nbgrader_config.py names."""
    from traitlets.utils.importstring import import_item

    text = (HOME / "nbgrader_config.py").read_text(encoding="utf-8")
    names = sorted(
        {
            node.value
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and re.fullmatch(r"autograder(\.\w+)+", node.value)
        }
    )
    return [import_item(name) for name in names]


def documented_modules():
    text = "".join(path.read_text(encoding="utf-8") for path in (DOCS / "reference").rglob("*.md"))
    return Counter(re.findall(r"^\.\. automodule:: (\S+)$", text, re.M))


def test_the_reference_has_every_public_module_once():
    public = {"servemath_helpers.labs", "servemath_helpers.sim"} | {
        info.name
        for info in pkgutil.walk_packages(servemath_helpers.__path__, "servemath_helpers.")
        if not re.search(r"\._|\.deep\.", info.name)  # parts of `deep`: for whoever writes one
    }
    documented = documented_modules()
    assert public <= set(documented)
    assert set(documented.values()) == {1}


def test_the_reference_has_every_plug_in():
    text = (DOCS / "reference" / "grading.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"^\.\. auto(?:class|function):: (\S+)$", text, re.M))
    assert {f"{cls.__module__}.{cls.__qualname__}" for cls in plug_ins()} <= documented


def test_make_docs_treats_warnings_as_errors():
    makefile = (HOME / "Makefile").read_text(encoding="utf-8")
    recipe = re.search(r"^docs: setup\n((?:\t.*\n)+)", makefile, re.M)
    assert recipe and " -W " in recipe[1] and " --keep-going " in recipe[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-q"),
            *("-d", str(out / "doctrees"), str(DOCS), str(out / "html")),
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done, out / "html"


def test_the_site_builds_without_a_warning(site):
    done, _ = site
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip() == ""


def test_every_page_is_part_of_the_site(site):
    _, html = site
    for page in PAGES:
        if page.startswith("docs/"):
            built = html / page.removeprefix("docs/").replace(".md", ".html")
            assert built.is_file(), page


def test_the_site_fetches_nothing_from_another_host(site):
    _, html = site
    fetched = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=\"(?:https?:)?//")
    for path in html.rglob("*.html"):
        assert not fetched.search(path.read_text(encoding="utf-8")), path.name


def test_formulas_are_mathml_and_options_stand_in_the_reference(site):
    _, html = site
    assert "<math " in (html / "symbols.html").read_text(encoding="utf-8")
    assert "c.ExecuteGraded.timeout" in (html / "reference/grading.html").read_text(
        encoding="utf-8"
    )


@pytest.mark.parametrize("chapter", Course.at().chapters())
def test_the_course_can_be_read_on_the_site(site, chapter):
    _, html = site
    page = (html / "course" / f"{chapter}.html").read_text(encoding="utf-8")
    notebook = nbformat.read(HOME / "source" / chapter / "theory.ipynb", as_version=4)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    pictures = sum("<img" in output.get("data", {}).get("text/html", "") for output in outputs)
    sections = [
        title
        for cell in notebook.cells
        if cell.cell_type == "markdown"
        for title in re.findall(r"^## (\d+\.\d+) ", cell.source, re.M)
    ]
    headings = re.findall(r"<h2>(\d+\.\d+) ", page)
    assert headings == sections
    assert len(re.findall(r'<img alt="[^"]{40,}', page)) == pictures
    folded = sum(bool(cell.metadata.get("jupyter")) for cell in notebook.cells)
    assert page.count("Show the code") >= folded
    assert "<math " in page
    assert not re.search(r'href="[^"#:]*\.ipynb', page)
    # What only the bundle holds is named, with where it lies.
    assert f"release/{chapter}/</span>" in page and "exercises.ipynb</span>" in page
    assert "To solve: " not in page
