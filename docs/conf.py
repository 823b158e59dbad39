"""How Sphinx builds the documentation: `make docs`."""

import sys
from pathlib import Path

from jinja2.sandbox import SandboxedEnvironment
from numpydoc import docscrape_sphinx

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "_extensions"), str(HERE.parent)]

project = "servemath"
author = "the servemath authors"
language = "en"
extensions = [
    "myst_nb",  # Markdown, and notebooks as they were executed when built
    "sphinx.ext.autodoc",
    "numpydoc",
    "mathml",  # ours, in _extensions
    "course",
    "options",
    "levels",
]
exclude_patterns = ["_extensions"]
# A reference within the project that leads nowhere stops the build. Python's own names have
# no page here: linking them would need another host when the site is built.
nitpicky = True
nitpick_ignore_regex = [(r"py:(class|exc|obj)", r"(builtins\.)?[A-Z]\w*(Error|Exception)")]

# Markdown as GitHub shows it, so that the pages read well there too.
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 4

nb_execution_mode = "off"
nb_merge_streams = True
nb_code_prompt_show = "Show the code"
nb_code_prompt_hide = "Hide the code"

# Docstrings: units and types stand in the text, the signature stays short.
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False  # autodoc lists members where they are defined
default_role = "literal"  # in docstrings `name` is a parameter or a neighbour
add_module_names = False
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = "servemath"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False

linkcheck_timeout = 20
linkcheck_retries = 2

_environments = []


def one_environment(loader):
    """Return numpydoc's environment of templates: a new one compiles them for each docstring."""
    if not _environments:
        _environments.append(SandboxedEnvironment(loader=loader))
    return _environments[0]


docscrape_sphinx.SandboxedEnvironment = one_environment
