"""Submissions whose code is alike beyond what short exercises explain.

A finding is a reason to look at two notebooks side by side, never a verdict.

1. A solution is reduced to its form: comments, docstrings, layout, text in quotes
   and the choice of names go; what the learner was handed goes as well.
2. Two forms are alike if at least `ALIKE` of their tokens agree, in order
   (normalised indel similarity of RapidFuzz).
3. Being alike says little where many are: an agreement weighs log2(n / m) bits if m
   of n forms are like it, and at most a bit for every `TOKENS_PER_BIT` tokens.
   Whole submissions that are alike count once in n and m, and the bank's
   solutions count as forms that anybody may arrive at.
4. If forms were chosen independently, a given pair would agree so much with
   probability 2**-bits. Pairs are shown when all pairs of the class together are
   expected to give less than `CHANCE` of one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rapidfuzz import process
from rapidfuzz.distance import Indel

from autograder import bank
from autograder.course import Course
from autograder.gradebook.record import ClassRecord
from autograder.report.forms import tokens

#: Share of tokens, in order, that two forms of a solution have in common to be alike.
ALIKE = 0.9

#: Tokens that carry one bit at most: a short form can only say so much.
TOKENS_PER_BIT = 8

#: Pairs that chance may put on the list in a class of independent learners.
CHANCE = 0.001

#: Share of common exercises that are alike for two submissions to count as one in step 3.
_WHOLE = 0.8

_SOLUTION = "__solution"


@dataclass(frozen=True)
class Pair:
    """Two learners, the exercises in which their code is alike, out of how many, the weight."""

    first: str
    second: str
    exercises: tuple[str, ...]
    compared: int
    bits: float


@dataclass(frozen=True)
class Group:
    """Learners linked by pairs: who, how many pairs, exercises alike in all of these pairs."""

    learners: tuple[str, ...]
    pairs: tuple[Pair, ...]

    @property
    def exercises(self) -> tuple[str, ...]:
        """Exercises that are alike in every pair."""
        common = set.intersection(*(set(pair.exercises) for pair in self.pairs))
        return tuple(slug for slug in self.pairs[0].exercises if slug in common)


def _solutions(path: Path) -> dict[str, str]:
    """Return the source of each solution cell of a notebook, nothing of one that is none."""
    try:
        cells = json.loads(path.read_bytes())["cells"]
        return dict(filter(None, map(_solution, cells)))
    except Exception:  # whatever a learner's file holds, the others are compared
        return {}


def _solution(cell: dict[str, Any]) -> tuple[str, str] | None:
    name = cell["metadata"].get("nbgrader", {}).get("grade_id", "")
    if cell["cell_type"] != "code" or not name.endswith(_SOLUTION):
        return None
    return name.removesuffix(_SOLUTION), "".join(cell["source"])


def _as_text(forms: list[tuple[str, ...]]) -> list[str]:
    """Return each form as a string with one character a token, for a fast comparison."""
    numbers: dict[str, int] = {}
    for form in forms:
        for token in form:
            numbers.setdefault(token, len(numbers))
    # From a private plane, so that no token becomes a surrogate.
    return ["".join(chr(0xF0000 + numbers[token] % 0xFFFE) for token in form) for form in forms]


@dataclass(frozen=True)
class _Exercise:
    """Forms of one exercise: which learners, their lengths, who is like whom, like the bank."""

    learners: list[str]
    lengths: list[int]
    alike: npt.NDArray[np.bool_]
    like_bank: npt.NDArray[np.bool_]


def _codes(exercise: bank.Exercise) -> list[str]:
    """Return the bank's solutions: forms that anybody may arrive at."""
    return [one.code for one in exercise.right] + [one.code for one in exercise.wrong]


def _compare(exercise: bank.Exercise, sources: dict[str, str], stub: str) -> _Exercise:
    """Compare the solutions of one exercise with each other and with the bank's."""
    nothing = tokens(stub, exercise.functions)
    own = {learner: tokens(code, exercise.functions) for learner, code in sources.items()}
    own = {learner: form for learner, form in own.items() if form and form != nothing}
    known = [tokens(code, exercise.functions) for code in _codes(exercise)]
    texts = _as_text([*own.values(), *known])
    mine, banked = texts[: len(own)], texts[len(own) :]
    score = Indel.normalized_similarity
    return _Exercise(
        learners=list(own),
        lengths=[len(form) for form in own.values()],
        alike=process.cdist(mine, mine, scorer=score, score_cutoff=ALIKE) >= ALIKE,
        like_bank=process.cdist(mine, banked, scorer=score, score_cutoff=ALIKE) >= ALIKE,
    )


def _components(learners: list[str], links: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Return learners joined by links, each learner in one component."""
    leader = {learner: learner for learner in learners}

    def find(learner: str) -> str:
        while leader[learner] != learner:
            leader[learner] = leader[leader[learner]]
            learner = leader[learner]
        return learner

    for first, second in links:
        leader[find(first)] = find(second)
    groups: dict[str, list[str]] = {}
    for learner in learners:
        groups.setdefault(find(learner), []).append(learner)
    return list(groups.values())


def _agreements(compared: dict[str, _Exercise]) -> dict[tuple[str, str], tuple[list[str], int]]:
    """Return for each pair the exercises that are alike, and how many both did."""
    found: dict[tuple[str, str], tuple[list[str], int]] = {}
    for slug, exercise in compared.items():
        for i, j in combinations(range(len(exercise.learners)), 2):
            pair = (exercise.learners[i], exercise.learners[j])
            alike, common = found.get(pair, ([], 0))
            if exercise.alike[i, j]:
                alike = [*alike, slug]
            found[pair] = (alike, common + 1)
    return found


def _bits(exercise: _Exercise, whole: dict[str, int]) -> Iterator[tuple[int, int, float]]:
    """Yield each two forms that are alike, and what that says, in bits."""
    if len(exercise.learners) < 2:
        return
    groups = sorted({whole[learner] for learner in exercise.learners})
    belongs = np.array(
        [[whole[learner] == group for group in groups] for learner in exercise.learners]
    )
    # Row i: the whole submissions, then the bank's forms, that form i is like.
    like = np.hstack([exercise.alike @ belongs, exercise.like_bank])
    caps = np.array(exercise.lengths) / TOKENS_PER_BIT
    for i in range(len(exercise.learners)):
        later = np.flatnonzero(exercise.alike[i, i + 1 :]) + i + 1
        common = (like[i] | like[later]).sum(axis=1)
        rarity = np.log2(like.shape[1] / common)
        for j, bits in zip(
            later, np.minimum(rarity, np.minimum(caps[i], caps[later])), strict=True
        ):
            yield i, int(j), float(bits)


def look_at(
    exercises: Iterable[bank.Exercise],
    sources: dict[str, dict[str, str]],
    stubs: dict[str, str] | None = None,
) -> list[Group]:
    """Return groups of learners whose code is alike beyond chance, the most alike first.

    Parameters
    ----------
    exercises : iterable of bank.Exercise
        The exercises to compare.
    sources : dict
        Learner -> exercise slug -> source of the solution cell.
    stubs : dict, optional
        Exercise slug -> source of the solution cell as released.
    """
    compared = {
        exercise.slug: _compare(
            exercise,
            {
                learner: cells[exercise.slug]
                for learner, cells in sources.items()
                if exercise.slug in cells
            },
            (stubs or {}).get(exercise.slug, ""),
        )
        for exercise in exercises
    }
    agreements = _agreements(compared)
    wholes = _components(
        list(sources),
        [pair for pair, (alike, common) in agreements.items() if len(alike) >= _WHOLE * common],
    )
    whole = {learner: number for number, group in enumerate(wholes) for learner in group}
    weight = dict.fromkeys(agreements, 0.0)
    for form in compared.values():
        for i, j, bits in _bits(form, whole):
            weight[form.learners[i], form.learners[j]] += bits
    enough = math.log2(max(1, math.comb(len(sources), 2)) / CHANCE)
    pairs = [
        Pair(first, second, tuple(alike), common, weight[first, second])
        for (first, second), (alike, common) in agreements.items()
        if alike and weight[first, second] >= enough
    ]
    return _groups(pairs)


def _groups(pairs: list[Pair]) -> list[Group]:
    learners = list(dict.fromkeys(name for pair in pairs for name in (pair.first, pair.second)))
    linked = _components(learners, [(pair.first, pair.second) for pair in pairs])
    groups = [
        Group(tuple(sorted(members)), tuple(pair for pair in pairs if pair.first in members))
        for members in linked
    ]
    return sorted(groups, key=lambda group: -max(pair.bits for pair in group.pairs))


def near_identical(course: Course, record: ClassRecord) -> list[Group]:
    """Return the groups of learners of an assignment to look at.

    Also submissions that could not be graded are compared, if their notebook can be read.
    """
    name = "exercises.ipynb"
    sources = {
        submission.student: _solutions(
            course.submitted / submission.student / record.assignment / name
        )
        for submission in record.submissions
    }
    stubs = _solutions(course.release / record.assignment / name)
    return look_at(bank.load(record.assignment), {k: v for k, v in sources.items() if v}, stubs)
