"""Outputs that a learner could store in a notebook so that a reader's browser does something.

Each vector carries its own mark: it sets ``window.ran_<name>``, the page's title or
asks a server for ``/<name>``. `ALIVE` are those that do so in a page which takes no care.
"""

import base64

import nbformat

from autograder.feedback.facts import Exercise, Link, Result, Submission
from autograder.feedback.hidden import HiddenTests
from autograder.feedback.work import HandedIn, pieces

#: A picture of one pixel.
PIXEL = base64.b64encode(
    base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    )
).decode()


def html_vectors(server):
    """Return HTML by name; `server` is an address that must never be asked."""

    def mark(name):
        return f"window.ran_{name}=1;document.title='owned'"

    return {
        "script": f"<script>{mark('script')}</script>",
        "remote_script": f"<script src='{server}/remote_script'></script>",
        "onerror": f'<img src=x onerror="{mark("onerror")}">',
        "onload_svg": f'<svg onload="{mark("onload_svg")}"><rect width=5 height=5 /></svg>',
        "onfocus": f'<input autofocus onfocus="{mark("onfocus")}">',
        "ontoggle": f'<details open ontoggle="{mark("ontoggle")}"><summary>x</summary>y</details>',
        "iframe": '<iframe srcdoc="<script>parent.window.ran_iframe=1</script>"></iframe>',
        "object": f'<object data="{server}/object"></object>',
        "refresh": f'<meta http-equiv="refresh" content="0;url={server}/refresh">',
        "stylesheet": f'<link rel="stylesheet" href="{server}/stylesheet">',
        "css_import": f"<style>@import url({server}/css_import); body{{display:none}}</style>",
        "css_url": f'<div style="background:url({server}/css_url)">x</div>',
        "picture": f'<img src="{server}/picture">',
        "srcset": f'<img srcset="{server}/srcset 1x" alt="far">',
        "poster": f'<video poster="{server}/poster" src="{server}/poster" autoplay></video>',
        "base": f'<base href="{server}/base/"><img src="relative.png">',
        "math": f'<math><mtext><img src=x onerror="{mark("math")}"></mtext></math>',
        "template": f'<svg><style><img src=x onerror="{mark("template")}"></style></svg>',
        "noscript": '<noscript><p title="</noscript><img src=x onerror='
        f'{mark("noscript").replace(chr(39), "&#39;")}>"></noscript>',
        "animate": f'<svg><animate onbegin="{mark("animate")}" attributeName=x dur=1s></svg>',
        "form": f'<form action="{server}/form"><button id=go>Points: 27</button></form>',
        "anchor": f'<a href="javascript:{mark("anchor")}" ping="{server}/ping">your points</a>',
    }


#: Those that do what they are for by themselves, in a page that takes no care.
ALIVE = {
    *("script", "remote_script", "onerror", "onload_svg", "onfocus", "ontoggle", "iframe"),
    *("object", "stylesheet", "css_import", "css_url", "picture", "srcset", "poster", "base"),
    *("math", "animate", "refresh"),
}

HOSTILE_SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="A drawing of L &lt; 3" '
    'width="40" height="20" onload="window.ran_svg_image=1"><script>window.ran_svg_image=1'
    '</script><image href="{server}/svg_image" width="5" height="5"/>'
    '<rect width="40" height="20"/></svg>'
)


def display(data):
    return nbformat.v4.new_output("display_data", data=data)


def outputs(server):
    """Return stored outputs: every HTML vector, and what else a notebook can hold."""
    script = "<script>window.ran_{0}=1</script>"
    latex, markdown = script.format("latex"), script.format("md")
    return [
        *(display({"text/html": html}) for html in html_vectors(server).values()),
        display({"image/svg+xml": HOSTILE_SVG.format(server=server)}),
        display({"application/javascript": "window.ran_javascript=1", "text/plain": "<js>"}),
        display({"application/javascript": "window.ran_javascript=1"}),
        display({"text/latex": rf"$\href{{javascript:window.ran_latex=1}}{{x}}$ {latex}"}),
        display({"text/markdown": f"[x](javascript:window.ran_md=1) ![a]({server}/md) {markdown}"}),
        display({"text/plain": script.format("plain")}),
        display({"image/png": base64.b64encode(script.format("png").encode()).decode()}),
        display({"image/png": '"><img src=x onerror=window.ran_png=1>'}),
        display(
            {"application/vnd.jupyter.widget-view+json": {"model_id": script.format("widget")}}
        ),
        display({f"text/{script.format('mime')}": "x"}),
        nbformat.v4.new_output(
            "stream", text=f"\x1b]8;;{server}/ansi\x07\x1b[31m{script.format('stream')}"
        ),
        nbformat.v4.new_output(
            "error", ename=script.format("ename"), evalue=script.format("evalue")
        ),
    ]


def notebook(server, slug="mm1"):
    """Return a notebook with all of it: in outputs, text, attachments, metadata."""
    solution = nbformat.v4.new_code_cell(
        "def mm1(lam, mu):\n    return '</code></pre><script>window.ran_code=1</script>'",
        metadata={
            "nbgrader": {"grade": False, "grade_id": f"{slug}__solution", "solution": True},
            "</script><script>window.ran_metadata=1</script>": 1,
        },
    )
    shows = nbformat.v4.new_code_cell("show()", outputs=outputs(server))
    text = nbformat.v4.new_markdown_cell(
        f"<img src=x onerror=window.ran_markdown=1> [go](javascript:window.ran_markdown=1) "
        f"![far]({server}/markdown) ![near](attachment:a.png) ![bad](attachment:b.png) $\\rho$\n\n"
        "<svg onload=window.ran_markdown=1>",
        attachments={
            "a.png": {"image/png": PIXEL},
            "b.png": {"image/png": '"onerror="window.ran_attachment=1'},
        },
    )
    made = nbformat.v4.new_notebook(cells=[solution, shows, text])
    made.metadata["title"] = "<script>window.ran_title=1</script>"
    made.metadata["widgets"] = {"x": "<script>window.ran_state=1</script>"}
    return made


def submission(server):
    """Return a submission with hostile text wherever a page shows text that is not ours."""
    made = notebook(server)
    work = tuple(pieces(made.cells, HandedIn(made), HiddenTests([]), frozenset()))
    text = "</p></title></style><script>window.ran_text=1</script><img src=x onerror=x()>"
    tests = (
        Result("Visible", hidden=False, points=0, of=1, message=text),
        Result(text, hidden=True, points=0, of=1, why="It stopped with an error."),
    )
    exercise = Exercise(
        "mm1", "A single server", 2, Link("Theory 1.2"), tests, work=work, comments=(text,)
    )
    return Submission(text, text, text, (exercise,), remarks=(text,), late_penalty=0.5)
