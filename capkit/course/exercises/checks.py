"""The check and the hints of an exercise, called from its notebook.

The questions stand in `capkit.course.exercises.questions`, one module a chapter. They compute what is right from the
parameters in use, so that a check is true for every scenario.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from capkit.course.exercises.verdicts import NOT_DONE, Question, Verdict


@dataclass(frozen=True)
class Exercise:
    """A question's key (``06.2``), its hints from the first to the last, and what makes the question."""

    key: str
    hints: tuple[str, ...]
    make: Callable[..., Question]


EXERCISES: dict[str, Exercise] = {}
_hints_seen: Counter[str] = Counter()
_passed: set[str] = set()


def question(key: str, *hints: str) -> Callable[[Callable[..., Question]], Callable[..., Question]]:
    """Register the function that makes a question; its arguments are what the check cell hands over."""

    def register(make: Callable[..., Question]) -> Callable[..., Question]:
        EXERCISES[key] = Exercise(key, hints, make)
        return make

    return register


def find(key: str) -> Exercise:
    """The exercise ``key``, such as ``06.2``; `ValueError` names those of the chapter if there is none."""
    chapter = key.split(".")[0]
    try:
        import_module(f"capkit.course.exercises.questions.ch{chapter}")
    except ModuleNotFoundError:
        raise ValueError(f"no exercises for chapter {chapter!r}, asked for {key!r}") from None
    if key not in EXERCISES:
        known = ", ".join(k for k in sorted(EXERCISES) if k.startswith(f"{chapter}."))
        raise ValueError(f"no exercise {key!r}; chapter {chapter} has {known}")
    return EXERCISES[key]


def judge(key: str, answer: Any, **given: Any) -> Verdict:
    """The verdict on an answer: `NOT_DONE` while it is the three dots, and no traceback where nothing is right.

    Parameters
    ----------
    key : str
        Which exercise.
    answer
        What the learner gives.
    **given
        Parameters and results of the notebook that the right answer depends on.

    >>> judge("06.1", ..., arrival_rate=6.0, service_rate=3.0).right
    False
    >>> judge("01.2", 60, needed=40, zones=1).text
    'Under these parameters this exercise has no answer: of 1 zone nothing is left when one is lost'
    """
    if answer is ... or answer is None:
        return Verdict(False, NOT_DONE)
    exercise = find(key)
    try:
        asked = exercise.make(**given)
    except (ValueError, ZeroDivisionError) as problem:
        return Verdict(False, f"Under these parameters this exercise has no answer: {problem}")
    return asked.judge(answer)


def check(key: str, answer: Any, **given: Any) -> None:
    """Show the verdict on an answer (`judge`).

    While nbgrader grades, an answer that is not right raises `AssertionError`, which is what it counts.
    """
    from IPython.display import Markdown, display

    verdict = judge(key, answer, **given)
    if os.environ.get("NBGRADER_EXECUTION") and not verdict.right:
        raise AssertionError(verdict.text)
    (_passed.add if verdict.right else _passed.discard)(key)
    mark = "✓" if verdict.right else "✗" if verdict.text != NOT_DONE else "…"
    display(Markdown(f"{mark} **{key}** {verdict.text}"))


def passed(key: str) -> bool:
    """Whether the last check of an exercise in this kernel said right."""
    return key in _passed


def hint(key: str) -> None:
    """Show one hint more each time it is called: the first nudges, the last nearly tells.

    The first call shows none, so that who runs all cells of a notebook is told nothing unasked.
    """
    from IPython.display import Markdown, display

    hints, seen = find(key).hints, _hints_seen[key]
    _hints_seen[key] = min(seen + 1, len(hints))
    shown = "".join(f"{i}. {text}\n" for i, text in enumerate(hints[:seen], 1))
    left = len(hints) - seen
    more = f"{left} more: run this cell again." if left else "That was the last hint."
    display(
        Markdown(
            f"{shown}\n*{more}*" if seen else f"*{left} hints: run this cell again for the first.*"
        )
    )
