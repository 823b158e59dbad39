"""From log-in to feedback on a JupyterHub, and what a learner there cannot do.

The tests are one story: they go on from each other, in order.
"""

import re
import subprocess
import time
from pathlib import Path

import pytest
from playwright.sync_api import expect

from autograder.course import Course
from autograder.demo.sample_class import Chapter

from .conftest import COURSE, HOMES, PASSWORDS, parts, typed
from .people import URL, HubLab, log_in, picture, typed_by

pytestmark = [pytest.mark.hub, pytest.mark.timeout(300)]

CHAPTER = "ch1_serving_tradeoffs"
#: What only one learner wrote, to look for everywhere; copies of this file do not hold it.
SECRET = "-".join(["the", "words", "of", "amal", "alone", "4711"])
#: What a learner would have run in a grader's browser.
HOSTILE = "<img src=x onerror=window.ran_here=1> <script>window.ran_here=1</script>"
#: Leaves a whole submission of another name: $0 is its folder, $1 the chapter.
FORGE = (
    'mkdir "$0" && cp ~/"$1"/exercises.ipynb "$0" && touch "$0"/submission_secret.txt '
    '&& chmod 777 "$0"'
)
#: Pages of feedback that somebody has read.
READ = {}
COMMENT = "Say what it would cost as well."


@pytest.fixture(scope="module")
def material(hub):
    return Chapter(Course.at(COURSE), CHAPTER)


@pytest.fixture(scope="module")
def people(browser, hub):
    """Return a function that gives somebody's JupyterLab, logged in once."""
    pages = {}

    def lab(name):
        if name not in pages:
            context = browser.new_context(viewport={"width": 1280, "height": 900})
            pages[name] = HubLab(log_in(context, name, hub[name]), name)
        return pages[name]

    return lab


def as_staff(*command):
    """Return what a command says that is run as the course's account, in its folder."""
    done = subprocess.run(
        ["runuser", "-u", "servemath", "--", "env", f"PATH={COURSE}/.venv/bin:/usr/bin:/bin",
         *command],
        cwd=COURSE, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def assignments(lab):
    """Open the list of assignments; return its three lists."""
    lab.command("nbgrader:open-assignment-list")
    return (
        lab.page.locator(f"#{state}_assignments_list .list_item", has_text=CHAPTER)
        for state in ("released", "fetched", "submitted")
    )


def submit(lab):
    """Save the notebook, and press Submit in the list of assignments."""
    lab.command("docmanager:save")
    _, fetched, submitted = assignments(lab)
    inbound = Path("/srv/nbgrader/exchange/servemath/inbound")
    before = len([*inbound.glob(f"{lab.name}+*")])
    fetched.get_by_role("button", name="Submit").click()
    until(lambda: len([*inbound.glob(f"{lab.name}+*")]) == before + 1)
    expect(submitted.first).to_be_visible()


def fetched_feedback(lab):
    """Press Fetch Feedback until there is a new page; return it, opened in JupyterLab."""
    home = HOMES / lab.name
    known = READ.setdefault(lab.name, set())

    def fetched():
        _, _, submitted = assignments(lab)
        lab.page.locator("#refresh_assignments_list, #refresh_list").first.click()
        submitted.get_by_role("button", name="Fetch Feedback").click()
        return {*(home / CHAPTER / "feedback").glob("*/exercises.html")} - known

    (page,) = until(fetched)
    known.add(page)
    lab.goto(str(page.relative_to(home)))
    return lab.page.frame_locator(".jp-HTMLViewer iframe")


def until(done, patience_s=90):
    """Wait until `done` gives something, and return it."""
    deadline = time.monotonic() + patience_s
    while not (found := done()):
        assert time.monotonic() < deadline, Path("/var/log/jupyterhub.log").read_text()[-3000:]
        time.sleep(0.2)
    return found


def pages_of_feedback():
    """Return the pages that learners can fetch, by their random names."""
    return {*Path("/srv/nbgrader/exchange/servemath/feedback").glob("*.html")}


def test_a_learner_logs_in_fetches_solves_and_submits(people, material):
    lab = people("amal")
    released, fetched, _ = assignments(lab)
    released.get_by_role("button", name="Fetch").click()
    expect(fetched).to_be_visible()
    picture(lab.page, "fetched")

    lab.open(f"{CHAPTER}/exercises.ipynb")
    for exercise in material.exercises[:-1]:
        lab.set_source(f"{exercise.slug}__solution", exercise.right[0].code)
    lab.set_source("reflection__answer", f"{SECRET} {HOSTILE}")
    picture(lab.page, "solved")
    submit(lab)
    picture(lab.page, "submitted")


def test_feedback_comes_back_through_the_assignment_list(people, material):
    until(lambda: len(pages_of_feedback()) >= 2)  # of two notebooks
    lab = people("amal")
    frame = fetched_feedback(lab)
    total = sum(material.points.values())
    earned = total - material.points[material.exercises[-1].slug]
    expect(frame.locator(".total")).to_contain_text(f"{earned:g} of {total:g} points")
    picture(lab.page, "feedback")


def test_the_next_attempt_is_refused_at_once_and_graded_when_it_is_time(people, material):
    lab, last = people("amal"), material.exercises[-1]
    lab.open(f"{CHAPTER}/exercises.ipynb")
    lab.set_source(f"{last.slug}__solution", last.right[0].code)
    submit(lab)
    refused = fetched_feedback(lab).locator("body")
    expect(refused).to_contain_text("10 minutes must lie between two attempts.")
    expect(refused).to_contain_text("It takes none of your attempts: 1 of at most 12 were made")
    picture(lab.page, "refused-attempt")
    with (COURSE / "nbgrader_config.py").open("a") as config:
        config.write("c.Attempts.pause_minutes = 0\n")  # holds from the next one on
    submit(lab)
    frame = fetched_feedback(lab)
    total = f"{sum(material.points.values()):g}"
    expect(frame.locator(".total")).to_contain_text(f"{total} of {total} points")
    expect(frame.locator("body")).to_contain_text("This is attempt 2 of at most 12")
    picture(lab.page, "second-attempt")


def test_another_learner_submits_from_a_terminal(material):
    before = len(pages_of_feedback())
    for command in ("fetch_assignment", "submit"):
        done = typed_by("bela", "nbgrader", command, CHAPTER)
        assert done.returncode == 0, done.stderr
    until(lambda: len(pages_of_feedback()) >= before + 2)  # of two notebooks


def test_a_submission_in_another_s_name_is_not_taken(hub):
    name = f"amal+{CHAPTER}+2027-01-01 00:00:00.000000 UTC+forged"
    forged = f"/srv/nbgrader/exchange/servemath/inbound/{name}"
    done = typed_by("bela", "sh", "-c", FORGE, forged, CHAPTER)
    assert done.returncode == 0, done.stderr
    told = until(lambda: [line for line in as_staff("servemath", "watch", "--status").splitlines()
                          if name in line])  # fmt: skip
    assert told == [f"Not taken: {name}: it says that it is amal's and belongs to bela; where "
                    "accounts and names of learners differ, set c.ExchangeCollect.check_owner = "
                    "False"]  # fmt: skip
    assert f"NOT TAKEN {name}" in (COURSE / "outcomes/watch.log").read_text()
    attempts = COURSE / "attempts" / CHAPTER / "amal"
    assert not any(name in path.read_text() for path in attempts.glob("*/attempt.json"))


def test_a_grader_comments_in_formgrader_while_the_watcher_works(browser, hub):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = log_in(context, "ada", hub["ada"], to="/services/servemath/formgrader")
    row = page.locator("tr", has=page.get_by_role("link", name=CHAPTER, exact=True))
    expect(row.locator(".num-submissions")).to_contain_text("2")
    picture(page, "formgrader")
    page.goto(f"{URL}/services/servemath/formgrader/gradebook/{CHAPTER}/exercises")
    # Names are hidden until one asks; the page has them.
    theirs = page.locator("tbody a.name-shown", has_text="amal")
    page.goto(f"{URL}{theirs.get_attribute('href')}")
    expect(page.get_by_text(SECRET)).to_be_visible()
    assert page.evaluate("() => window.ran_here") is None  # as ada
    comment = page.locator("#reflection__answer-comment")
    expect(comment).to_have_attribute("placeholder", re.compile(r"Rubric:\n- two numbers"))
    picture(page, "formgrader-rubric")
    comment.fill(COMMENT)
    comment.blur()
    picture(page, "formgrader-comment")
    question = "SELECT manual_comment FROM comment WHERE manual_comment IS NOT NULL"
    asked = ["psql", "--tuples-only", "--no-align", "--host=/var/run/postgresql", "servemath"]
    until(lambda: COMMENT in as_staff(*asked, "--command", question))

    grace = log_in(browser.new_context(), "grace", hub["grace"], to="/services/servemath/lab")
    grace.wait_for_url(f"{URL}/services/servemath/lab*")


def test_the_grader_s_comment_reaches_the_learner(hub):
    as_staff("nbgrader", "generate_feedback", CHAPTER, "--student=amal", "--force")
    as_staff("nbgrader", "release_feedback", CHAPTER, "--student=amal")
    done = typed_by("amal", "nbgrader", "fetch_feedback", CHAPTER)
    assert done.returncode == 0, done.stderr
    pages = (HOMES / "amal" / CHAPTER / "feedback").glob("*/exercises.html")
    assert any(COMMENT in page.read_text() for page in pages)


def test_the_rest_of_the_guide(browser, hub):
    typed(parts()[2])
    ines = PASSWORDS.read_text().split()[-1].partition(":")[2]
    page = log_in(browser.new_context(), "ines", ines, to="/hub/home")
    page.wait_for_url(f"{URL}/hub/home")
    saved = Path("/var/backups/servemath/gradebook.sql").read_text()
    assert COMMENT in saved and "amal" in saved


#: What bela may try, with an account and a terminal: none may succeed.
TRIED = [
    ["ls", "/srv/servemath"],
    ["cat", "/srv/servemath/course/nbgrader_config.py"],
    ["ls", "/srv/nbgrader/exchange/servemath/inbound"],
    ["ls", "/srv/nbgrader/exchange/servemath/feedback"],
    ["ls", str(HOMES / "amal")],
    ["ls", str(HOMES / "ada")],
    ["cat", str(PASSWORDS)],
    ["cat", "/etc/jupyterhub/jupyterhub_config.py"],
    ["ls", "/var/lib/jupyterhub"],
    ["psql", "-w", "-h", "/var/run/postgresql", "-U", "servemath", "servemath", "-c", "select 1"],
    ["psql", "-w", "-h", "127.0.0.1", "-U", "servemath", "servemath", "-c", "select 1"],
    ["psql", "-w", "servemath", "-c", "select 1"],
    ["touch", "/srv/nbgrader/exchange/servemath/outbound/mine"],
    ["touch", "/srv/nbgrader/exchange/servemath/feedback/mine"],
    ["rm", "-rf", "/srv/nbgrader/exchange/servemath"],
]


@pytest.mark.parametrize("command", TRIED, ids=" ".join)
def test_a_learner_does_not_reach(command, hub):
    done = typed_by("bela", *command)
    assert done.returncode != 0 and done.stdout == "", done.stdout
    assert (
        "ermission denied" in done.stderr or "FATAL" in done.stderr or "no password" in done.stderr
    )


def test_nothing_that_a_learner_wrote_is_found_by_another(hub):
    places = ["/srv", "/home", "/opt/servemath/etc", "/var", "/tmp", "/run", "/etc", "/dev/shm"]
    search = ["grep", "-rlsI", "--devices=skip", SECRET, *places]
    mine = typed_by("amal", *search).stdout.splitlines()
    assert str(HOMES / "amal" / CHAPTER / "exercises.ipynb") in mine  # what is there is found
    assert typed_by("bela", *search).stdout == ""


def test_a_learner_opens_neither_another_s_lab_nor_formgrader(browser, hub):
    page = log_in(browser.new_context(), "bela", hub["bela"], to="/hub/home")
    page.wait_for_url(f"{URL}/hub/home")
    for path in ("/user/amal/lab", "/services/servemath/formgrader", "/hub/admin"):
        page.goto(f"{URL}{path}")
        expect(page.locator("body")).to_contain_text("403")
        expect(page.locator("body")).not_to_contain_text(CHAPTER)
    picture(page, "refused")
    past_the_hub = "http://127.0.0.1:9999/services/servemath/formgrader"
    answer = typed_by("bela", "python", "-c", ASK, past_the_hub)
    assert "/hub/api/oauth2/authorize" in answer.stdout, answer


#: Where one is sent who asks a server itself, past the hub.
ASK = """
import http.client, sys, urllib.parse
at = urllib.parse.urlsplit(sys.argv[1])
asked = http.client.HTTPConnection(at.netloc, timeout=30)
asked.request("GET", at.path)
answer = asked.getresponse()
print(answer.status, answer.getheader("Location"), answer.read()[:200])
"""
