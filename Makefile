# Thin: each target is one line into a tool. Everything sets itself up.
PYTHON ?= python3
CH ?=
BIN := .venv/bin
# nbgrader looks up alembic on PATH.
export PATH := $(CURDIR)/.venv/bin:$(PATH)
# The learner's and the grader's notebooks never need a frozen-modules warning.
export PYDEVD_DISABLE_FILE_VALIDATION = 1
# Images of containers forbid it: each of hundreds of starts would compile what it imports anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-browser test-learner test-hub mutants lab bundle notebooks release check bank table report doctor clean-demo lint format benchmarks docs docs-links lock clean setup

help:
	@sed -n 's/^## //p' Makefile

setup:
	@command -v $(PYTHON) >/dev/null 2>&1 || { echo "servemath: no $(PYTHON) on PATH; install Python 3.11 to 3.13, or name one: make PYTHON=/path/to/python3.12 ..." >&2; exit 1; }
	@$(PYTHON) autograder/machine/setup_venv.py

## make demo        build, release, grade a sample class, write feedback and report (CH=<chapter>)
demo: setup
	@$(BIN)/servemath demo $(CH)

## make test        every fast test
test: setup
	@$(BIN)/python -m pytest --cov=servemath_helpers --cov-report=term --cov-fail-under=100

## make test-browser  the notebooks, the labs and formgrader in a real JupyterLab (needs chromium)
test-browser: setup
	@$(BIN)/pip install --quiet --disable-pip-version-check -r tests/browser/requirements.lock
	@$(BIN)/python -m pytest -m browser -n 2 --timeout=900 tests/browser

## make test-learner  chapter 1 in an environment of the learners' lock alone
test-learner: setup
	@$(BIN)/python tests/bare.py

## make test-hub    a course for ten on a JupyterHub, from log-in to feedback (needs root, chromium,
##                  npm, PostgreSQL; runs on a machine of its own and leaves nothing on this one)
test-hub: setup
	@$(BIN)/pip install --quiet --disable-pip-version-check -r tests/browser/requirements.lock
	@$(BIN)/python -m tests.hub.machine $(BIN)/python -m pytest -m hub -n 0 --timeout=900 tests/hub

## make mutants     small breaks of the code that no test beside it notices (PART="exports queueing")
mutants: setup
	@$(BIN)/pip install --quiet --disable-pip-version-check -r tests/mutants/requirements.lock
	@nice $(BIN)/python tests/mutants/run.py $(PART)

## make lab         JupyterLab on a copy of the learners' notebooks
lab: setup
	@$(BIN)/servemath lab

## make bundle      the zip that learners receive
bundle: setup
	@$(BIN)/servemath bundle

## make notebooks   build notebooks from text (CH=<chapter>)
notebooks: setup
	@$(BIN)/servemath build --only notebooks $(CH)

## make release     learners' notebooks and the gradebook (CH=<chapter>)
release: setup
	@$(BIN)/servemath release $(CH)

## make check       is a change ready to share? (CH=<chapter>)
check: setup
	@$(BIN)/servemath check $(CH)

## make bank        the solution bank, and what only hidden tests catch (CH=<chapter>)
bank: setup
	@$(BIN)/servemath bank $(CH)

## make table       automatic scores of the class, what a grader should know (CH=<chapter>)
table: setup
	@$(BIN)/servemath table $(CH)

## make report      where a class stands, as a page (CH=<chapter>)
report: setup
	@$(BIN)/servemath report $(CH)

## make doctor      what this machine lacks
doctor: setup
	@$(BIN)/servemath doctor

## make clean-demo  take the sample class out of this course
clean-demo: setup
	@$(BIN)/servemath clean-demo

## make lint        ruff and mypy
lint: setup
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

## make format      let ruff format and mend what it can
format: setup
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

## make benchmarks  paired ratios against named baselines
benchmarks: setup
	@for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python $$file || exit 1; done

## make docs        the documentation site, in build/docs (warnings are errors)
docs: setup
	@$(BIN)/sphinx-build -W --keep-going -q -b html -d build/doctrees docs build/docs && echo "build/docs/index.html"

## make docs-links  ask other hosts whether the site's links to them still work (needs a network)
docs-links: setup
	@$(BIN)/sphinx-build -W --keep-going -q -b linkcheck -d build/doctrees docs build/docs-links

## make lock        pin the newest versions that work together, for all files (needs uv)
COMPILE = uv pip compile -q --upgrade --universal --no-header --no-emit-index-url --no-emit-find-links
lock:
	@$(COMPILE) pyproject.toml --all-extras -o requirements.lock
	@$(COMPILE) pyproject.toml --extra learn -c requirements.lock -o requirements-learn.lock
	@for group in browser mutants; do $(COMPILE) --group pyproject.toml:$$group -c requirements.lock -o tests/$$group/requirements.lock || exit 1; done
	@$(COMPILE) --group pyproject.toml:hub -c requirements.lock -o hub/requirements.lock
	@cd hub && npm update --package-lock-only --silent --no-audit --no-fund --omit-lockfile-registry-resolved

## make clean       remove what was built, except notebooks, releases and grades
clean:
	@rm -rf .venv dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
