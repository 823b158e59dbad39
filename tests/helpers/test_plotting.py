"""Figures look the same everywhere, and carry alt text and their numbers."""

import base64
import itertools
import re
import subprocess
import sys
from html.parser import HTMLParser

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("agg")

from IPython.core.formatters import DisplayFormatter
from matplotlib import colors as mcolors
from matplotlib import pyplot as plt

from servemath_helpers import plotting
from servemath_helpers.plotting import COLORS, show, use_course_style


class Page(HTMLParser):
    """Collects tags with their attributes, and the text of table cells."""

    def __init__(self, text):
        super().__init__()
        self.tags = []
        self.cells = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.tags[-1][0] in ("td", "th"):
            self.cells.append(data)

    def named(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(autouse=True)
def _leave_matplotlib_as_it_was():
    with mpl.rc_context():
        yield
    plt.close("all")


@pytest.fixture
def shown(monkeypatch):
    """Return a function that shows a figure and gives back what was displayed."""
    displayed = []

    def display(shown):
        # IPython's own formatter decides what a front end would receive.
        bundle, _ = DisplayFormatter().format(shown)
        displayed.append(bundle)

    monkeypatch.setattr("IPython.display.display", display)

    def run(*args, **kwargs):
        assert show(*args, **kwargs) is None
        (bundle,) = displayed
        displayed.clear()
        return bundle

    return run


def line_figure():
    fig, ax = plt.subplots()
    ax.plot([0, 1, 2], [0, 1, 4], color=COLORS["primary"], label="squares")
    ax.set_title("Squares")
    ax.legend()
    return fig


def png_of(bundle):
    (image,) = Page(bundle["text/html"]).named("img")
    prefix = "data:image/png;base64,"
    assert image["src"].startswith(prefix)
    return base64.b64decode(image["src"][len(prefix) :], validate=True)


def chunk_names(png):
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    names, at = [], 8
    while at < len(png):
        length = int.from_bytes(png[at : at + 4], "big")
        names.append(png[at + 4 : at + 8].decode("ascii"))
        at += 12 + length
    return names


def test_importing_the_module_loads_no_plotting_library():
    code = (
        "import sys, servemath_helpers.plotting as p; p.COLORS['primary'];"
        "print([m for m in ('matplotlib', 'seaborn', 'IPython', 'pandas') if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert run.stdout.strip() == "[]"


def test_colours_have_the_six_roles_as_hex_text():
    assert list(COLORS) == ["primary", "secondary", "tertiary", "error", "neutral", "highlight"]
    assert all(re.fullmatch("#[0-9a-f]{6}", value) for value in COLORS.values())
    assert len(set(COLORS.values())) == 6


def test_colours_come_from_seaborns_colour_blind_palette():
    seaborn = pytest.importorskip("seaborn")
    assert set(COLORS.values()) <= set(seaborn.color_palette("colorblind").as_hex())


def test_colours_cannot_be_changed_by_accident():
    with pytest.raises(TypeError):
        COLORS["primary"] = "#000000"


def test_no_two_colours_look_alike_to_a_reader_without_red_or_green_cones():
    # Machado et al. 2009, severity 1.0: deuteranopia and protanopia in linear RGB.
    views = [
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ],
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ],
    ]
    linear = {
        role: np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        for role, rgb in ((role, np.array(mcolors.to_rgb(c))) for role, c in COLORS.items())
    }
    for matrix in views:
        for one, other in itertools.combinations(linear.values(), 2):
            assert np.linalg.norm(np.array(matrix) @ (one - other)) > 0.05


def test_the_style_is_the_same_with_and_without_seaborn(monkeypatch):
    pytest.importorskip("seaborn")
    use_course_style()
    with_seaborn = dict(mpl.rcParams)
    monkeypatch.setitem(sys.modules, "seaborn", None)
    mpl.rcdefaults()
    use_course_style()
    assert dict(mpl.rcParams) == with_seaborn
    rc = mpl.rcParams
    assert rc["figure.figsize"] == [10, 6]
    assert rc["figure.dpi"] == 120
    assert rc["font.size"] == 13
    assert not rc["axes.spines.top"] and not rc["axes.spines.right"]
    assert rc["figure.constrained_layout.use"]
    assert rc["axes.grid"]
    assert rc["axes.prop_cycle"].by_key()["color"] == list(COLORS.values())
    fig, ax = plt.subplots()
    assert fig.get_layout_engine() is not None
    assert not ax.spines["top"].get_visible()
    assert fig.get_facecolor() == (1.0, 1.0, 1.0, 1.0)


def test_seaborn_sets_the_grid_where_it_is_installed(monkeypatch):
    seaborn = pytest.importorskip("seaborn")
    calls = []
    monkeypatch.setattr(seaborn, "set_theme", lambda **kwargs: calls.append(kwargs))
    use_course_style()
    assert calls == [{"style": "whitegrid", "palette": "colorblind"}]


@pytest.mark.parametrize("seed", [42, 7])
def test_the_style_seeds_numpys_legacy_generator(seed):
    use_course_style(seed=seed)
    first = np.random.random(3)
    assert first.tolist() == np.random.RandomState(seed).random_sample(3).tolist()


def test_seed_none_leaves_the_generator_alone():
    np.random.seed(1)
    expected = np.random.RandomState(1).random_sample()
    use_course_style(seed=None)
    assert np.random.random() == expected


def test_show_gives_a_figure_with_alt_text_and_a_short_fallback(shown):
    bundle = shown(line_figure(), "The square of x against x.")
    assert set(bundle) == {"text/html", "text/plain"}
    assert bundle["text/plain"] == "Figure: The square of x against x."
    page = Page(bundle["text/html"])
    assert [tag for tag, _ in page.tags] == ["figure", "img"]
    assert page.named("img")[0]["alt"] == "The square of x against x."


def test_the_picture_has_a_white_card_and_fits_the_cell(shown):
    style = Page(shown(line_figure(), "Squares")["text/html"]).named("img")[0]["style"]
    assert "max-width:100%" in style
    assert "background:#ffffff" in style


def test_the_same_figure_has_the_same_bytes_and_no_metadata(shown):
    use_course_style()
    one, other = (png_of(shown(line_figure(), "Squares")) for _ in range(2))
    assert one == other
    assert not {"tEXt", "iTXt", "zTXt", "tIME"} & set(chunk_names(one))


def test_the_picture_is_1200_by_720_pixels_in_the_course_style(shown):
    use_course_style()
    png = png_of(shown(line_figure(), "Squares"))
    assert [int.from_bytes(png[at : at + 4], "big") for at in (16, 20)] == [1200, 720]


def test_show_closes_the_figure(shown):
    fig = line_figure()
    assert plt.fignum_exists(fig.number)
    shown(fig, "Squares")
    assert not plt.fignum_exists(fig.number)


def test_outside_a_notebook_show_prints_the_alt_text(capsys):
    show(line_figure(), "Squares")
    assert capsys.readouterr().out == "Figure: Squares\n"


def test_alt_text_is_escaped_and_on_one_line(shown):
    alt = 'W < 2 & "Wq"\n  > 1'
    bundle = shown(line_figure(), alt)
    assert 'alt="W &lt; 2 &amp; &quot;Wq&quot; &gt; 1"' in bundle["text/html"]
    assert bundle["text/plain"] == 'Figure: W < 2 & "Wq" > 1'


def test_a_table_gives_the_numbers_in_rows_with_column_heads(shown):
    table = {
        "rho < 1": [0.5, np.float64(0.95)],
        "n": (1, np.int64(20000000)),
        "stable": [True, np.bool_(False)],
        "note": ["a & b", None],
        "third": np.array([1 / 3, np.inf]),
    }
    bundle = shown(line_figure(), "Squares", table=table)
    page = Page(bundle["text/html"])
    assert page.named("th") == [{"scope": "col"}] * 5
    assert page.cells == [
        *("rho < 1", "n", "stable", "note", "third"),
        *("0.5", "1", "True", "a & b", "0.333333"),
        *("0.95", "20000000", "False", "–", "inf"),
    ]
    assert len(page.named("tr")) == 3
    assert len(page.named("details")) == len(page.named("summary")) == 1
    assert bundle["text/plain"] == "Figure: Squares"


def test_tags_of_a_figure_with_a_table_are_balanced(shown):
    text = shown(line_figure(), "Squares", table={"x": [1, 2]})["text/html"]
    opened = re.findall(r"<([a-z]+)[ >]", text)
    closed = re.findall(r"</([a-z]+)>", text)
    opened.remove("img")
    assert sorted(opened) == sorted(closed)


@pytest.mark.parametrize("alt", ["", "  \n", None, 3])
def test_show_asks_for_alt_text(alt):
    with pytest.raises(ValueError, match=r"^alt must be text"):
        show(line_figure(), alt)


@pytest.mark.parametrize("fig", [None, "squares", 1])
def test_show_asks_for_a_figure(fig):
    with pytest.raises(ValueError, match=r"^fig must be a matplotlib figure"):
        show(fig, "Squares")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, r"^table must map column names"),
        ([1, 2], r"^table must map column names"),
        ({"x": 3}, r"^table\['x'\] must be a sequence"),
        ({"x": "abc"}, r"^table\['x'\] must be a sequence"),
        ({"x": [1, 2], "y": [1]}, r"^x and y must have the same length: x has 2, y has 1"),
    ],
)
def test_show_names_what_is_wrong_with_a_table(table, message):
    with pytest.raises(ValueError, match=message):
        show(line_figure(), "Squares", table=table)


def test_a_refused_table_leaves_the_figure_open_to_try_again():
    fig = line_figure()
    with pytest.raises(ValueError, match="table"):
        show(fig, "Squares", table={})
    assert plt.fignum_exists(fig.number)


def test_public_names_are_the_documented_ones():
    assert plotting.__all__ == ["COLORS", "markup", "show", "use_course_style"]
