"""What a check says of an answer: right, or what kind of wrong; never the right answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

NOT_DONE = "Not done yet: put your answer where the three dots are, run that cell, then this one."

#: factors between an answer and the truth, and what they usually mean
UNITS = {
    1000.0: "one, or a thousand, as in seconds and milliseconds",
    60.0: "minutes, or seconds",
    3600.0: "per hour, or per second",
    24.0: "a day, or an hour",
    168.0: "a week, or an hour",
    7.0: "a week, or a day",
    100.0: "a share, or per cent",
    8.0: "bits, or bytes",
    1024.0: "units of 1000, or of 1024",
    1024.0**2: "bytes, or MiB",
    1e6: "one, or a million",
}


@dataclass(frozen=True)
class Verdict:
    """Whether an answer is right, and one sentence about it."""

    right: bool
    text: str


class Question(Protocol):
    """Something that can judge an answer."""

    def judge(self, given: Any) -> Verdict:
        """The verdict on an answer that is not the untouched three dots."""


def is_number(given: Any) -> bool:
    """Whether ``given`` is one finite number."""
    try:
        return not isinstance(given, str | bytes | bool | np.bool_) and math.isfinite(float(given))
    except (TypeError, ValueError, OverflowError):
        return False


@dataclass(frozen=True)
class Number:
    """One number, right within a relative tolerance (0: exactly, for counts).

    ``slips`` are the values that known mistakes give, by the sentence that a learner is told.

    >>> wait = Number(0.2, "s", slips={"That is the response: the service is still in it.": 0.7})
    >>> wait.judge(0.2001).text, wait.judge(0.7).text
    ('Right.', 'Not yet. That is the response: the service is still in it.')
    >>> wait.judge(200.0).text
    'Not yet: 1000 times too much. Check the unit: one, or a thousand, as in seconds and milliseconds? Asked for: s.'
    """

    value: float
    unit: str
    tolerance: float = 0.01
    slips: Mapping[str, float] = field(default_factory=dict)

    def _near(self, given: float, value: float) -> bool:
        return math.isclose(given, value, rel_tol=max(self.tolerance, 1e-9), abs_tol=1e-12)

    def judge(self, given: Any) -> Verdict:
        """Right, a known slip, a wrong unit, a wrong sign, or the direction."""
        if not is_number(given):
            kind = str(given) if isinstance(given, float) else f"of type {type(given).__name__}"
            return Verdict(False, f"One finite number is asked for ({self.unit}); this is {kind}.")
        number = float(given)
        if self._near(number, self.value):
            return Verdict(True, "Right.")
        for text, value in self.slips.items():
            if self._near(number, value):
                return Verdict(False, f"Not yet. {text}")
        for factor, meaning in UNITS.items():
            for times, words in ((factor, "too much"), (1.0 / factor, "too little")):
                if self._near(number, self.value * times):
                    return Verdict(
                        False,
                        f"Not yet: {factor:g} times {words}. Check the unit: {meaning}? "
                        f"Asked for: {self.unit}.",
                    )
        if self._near(number, -self.value):
            return Verdict(False, "Not yet: the size is right, the sign is not.")
        side = "much" if number > self.value else "little"
        return Verdict(False, f"Not yet: too {side}. Asked for: {self.unit}.")


@dataclass(frozen=True)
class Choice:
    """One of several words; ``wrong`` holds the others, each with the reason that speaks against it.

    >>> Choice("drift", {"variance": "Shuffle the gaps: the variance stays, the wait does not."}).judge("drift")
    Verdict(right=True, text='Right.')
    """

    value: str
    wrong: Mapping[str, str]

    def judge(self, given: Any) -> Verdict:
        """Right, or why that choice is not."""
        word = given.strip().lower() if isinstance(given, str) else ""
        if word == self.value:
            return Verdict(True, "Right.")
        if word in self.wrong:
            return Verdict(False, f"Not yet. {self.wrong[word]}")
        words = ", ".join(repr(w) for w in sorted([self.value, *self.wrong]))
        return Verdict(False, f"Answer with one of {words}.")


@dataclass(frozen=True)
class Function:
    """A function that must give what ``truth`` gives, at ``cases`` that the learner does not see.

    ``slips`` are functions that known mistakes give, by the sentence that a learner is told.

    >>> twice = Function(lambda x: 2 * x, [(1.0,), (3.0,)], "a number")
    >>> twice.judge(lambda x: x + x).right, twice.judge(lambda x: x + 1).text
    (True, 'Not yet: right in 1 of 2 cases that were tried.')
    """

    truth: Callable[..., float]
    cases: Sequence[tuple[Any, ...]]
    unit: str
    tolerance: float = 0.01
    slips: Mapping[str, Callable[..., float]] = field(default_factory=dict)

    def _verdicts(self, law: Callable[..., float], answers: Sequence[Any]) -> list[Verdict]:
        """Each answer against what ``law`` gives."""
        pairs = zip(self.cases, answers, strict=True)
        return [Number(law(*case), self.unit, self.tolerance).judge(found) for case, found in pairs]

    def judge(self, given: Any) -> Verdict:
        """A known slip, or how many cases it gets right; an error of the function is told, not raised."""
        if not callable(given):
            return Verdict(
                False, f"A function is asked for; this is of type {type(given).__name__}."
            )
        answers = []
        for case in self.cases:
            try:
                found = given(*deepcopy(case))
            except Exception as problem:
                words = f"{type(problem).__name__}: {problem}"
                return Verdict(False, f"Your function stopped with {words}")
            if found is ... or found is None:
                return Verdict(
                    False, NOT_DONE if found is ... else "Your function returns nothing."
                )
            answers.append(found)
        verdicts = self._verdicts(self.truth, answers)
        right = sum(v.right for v in verdicts)
        if right == len(verdicts):
            return Verdict(True, "Right.")
        for text, slip in self.slips.items():
            if all(v.right for v in self._verdicts(slip, answers)):
                return Verdict(False, f"Not yet. {text}")
        if right == 0 and len({v.text for v in verdicts}) == 1:
            return verdicts[0]
        return Verdict(
            False, f"Not yet: right in {right} of {len(verdicts)} cases that were tried."
        )


@dataclass(frozen=True)
class Properties:
    """An answer of one's own that must have properties; ``tests`` by what is said where one fails.

    A test that gives the three dots has called a function that still returns them: nothing is done yet.

    >>> even = Properties({"The number is odd.": lambda n: n % 2 == 0})
    >>> even.judge(4).text, even.judge(3).text
    ('Right.', 'Not yet. The number is odd.')
    """

    tests: Mapping[str, Callable[[Any], Any]]

    def judge(self, given: Any) -> Verdict:
        """The first property that fails, in order."""
        for text, holds in self.tests.items():
            try:
                found = holds(given)
                passed = bool(found)
            except Exception as problem:
                words = f"{type(problem).__name__}: {problem}"
                return Verdict(False, f"This answer could not be tried ({words}). Wanted: {text}")
            if found is ...:
                return Verdict(False, NOT_DONE)
            if not passed:
                return Verdict(False, f"Not yet. {text}")
        return Verdict(True, "Right.")
