"""The released theory notebook, read and run in JupyterLab."""

import pytest

from .axe import violations
from .conftest import CHAPTER
from .jupyter import errors, outputs

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

#: What a picture is called that nobody described.
UNDESCRIBED = {"", "figure", "image", "plot", "No description has been provided for this image"}


@pytest.fixture
def theory(lab, released):
    released(CHAPTER)
    lab.open(f"release/{CHAPTER}/theory.ipynb")
    lab.run_all()
    return lab


def test_the_theory_runs_and_can_be_read_and_seen(theory):
    """One page for all of it: opening and running a notebook is what takes long."""
    page, cells = theory.page, theory.cells()

    assert errors(cells) == []
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))

    pictures = page.locator(".jp-OutputArea-output img, .jp-OutputArea-output svg[role=img]")
    assert pictures.count() >= 3
    seen = pictures.evaluate_all(
        """(found) => found.map((picture) => ({
          text: picture.getAttribute('alt') ?? picture.getAttribute('aria-label') ?? '',
          wide: picture.getBoundingClientRect().width, whole: picture.naturalWidth !== 0,
        }))"""
    )
    assert [picture for picture in seen if picture["text"].strip() in UNDESCRIBED] == []
    assert [picture for picture in seen if picture["wide"] < 200 or not picture["whole"]] == []
    bare = [output for output in outputs(cells) if "image/png" in output.get("data", {})]
    assert bare == [], "JupyterLab shows such a picture without any text in its place"

    assert page.locator("mjx-container").count() > 20
    assert page.locator("mjx-merror, [data-mjx-error]").all_inner_texts() == []

    assert violations(page, "critical", "serious") == []
    pictures.first.evaluate("(picture) => picture.removeAttribute('alt')")
    assert len(violations(page, "critical")) == 1, "the check sees a picture without its text"
    assert theory.page_errors == []
