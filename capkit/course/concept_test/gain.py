"""What a class has gained: Hake's normalised gain with an interval, and the misconceptions that stay.

The gain is the part of what could be gained that was gained: ``(after - before) / (1 - before)``, with the shares of
right answers. Source: Hake, "Interactive-engagement versus traditional methods", American Journal of Physics 66 (1998)
64-74, which calls a gain below 0.3 low and one of 0.7 or more high.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from capkit.course.concept_test.answers import ASKED
from capkit.course.concept_test.questions import QUESTIONS

DRAWS = 4000


def normalised_gain(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
    """Hake's gain from shares of right answers; NaN where nothing was left to gain.

    >>> normalised_gain(np.array([0.4, 1.0]), np.array([0.7, 1.0]))
    array([0.5, nan])
    """
    left = 1.0 - before
    return np.divide(after - before, left, out=np.full_like(left, np.nan), where=left > 1e-12)


def _interval(draws: NDArray[np.float64]) -> tuple[float, float]:
    """Limits of the middle 95 % of the draws in which there is a gain."""
    defined = draws[np.isfinite(draws)]
    if defined.size < draws.size / 2:
        return float("nan"), float("nan")
    low, high = np.quantile(defined, [0.025, 0.975])
    return float(low), float(high)


@dataclass(frozen=True)
class Gain:
    """What a class has gained, from those who took both sittings.

    Attributes
    ----------
    learners : int
        How many took both.
    left_out : tuple of str
        Who took only one.
    questions : DataFrame
        One row a question: ``topic``, ``chapter``, right answers ``before`` and ``after`` in per cent, ``gain`` with
        ``low`` and ``high`` (95 %).
    whole : dict
        The same for the whole test.
    beliefs : DataFrame
        One row a misconception that somebody still holds after: ``misconception``, ``chapter``, ``before`` and
        ``after`` in per cent of the learners, the most frequent first.
    """

    learners: int
    left_out: tuple[str, ...]
    questions: pd.DataFrame
    whole: dict[str, float]
    beliefs: pd.DataFrame

    def __str__(self) -> str:
        whole = self.whole
        kind = "low" if whole["gain"] < 0.3 else "medium" if whole["gain"] < 0.7 else "high"
        gained = (
            "there was nothing left to gain."
            if np.isnan(whole["gain"])
            else f"normalised gain {whole['gain']:.2f} ({kind}), 95 % interval {whole['low']:.2f} to {whole['high']:.2f}."
        )
        lines = [
            f"{self.learners} learners took both tests.",
            f"Right before {whole['before']:.0f} %, after {whole['after']:.0f} %; {gained}",
        ]
        if self.left_out:
            lines.append(f"Left out, one test only: {', '.join(self.left_out)}.")
        shown = self.questions.round({"before": 0, "after": 0, "gain": 2, "low": 2, "high": 2})
        lines += ["", "By question (before and after: % right)", shown.to_string(na_rep="-")]
        lines += ["", "Misconceptions that stay (% of the learners)"]
        lines.append(self.beliefs.round(0).to_string(index=False) if len(self.beliefs) else "none")
        return "\n".join(lines)


def gain(answers: pd.DataFrame, rng: np.random.Generator) -> Gain:
    """The gain of a class, with intervals from a bootstrap over its learners.

    Parameters
    ----------
    answers : DataFrame
        From `read_answers`. A question without an answer counts as not right.
    rng : numpy.random.Generator
        Draws the learners of each repetition.

    Raises
    ------
    ValueError
        Fewer than two learners took both sittings.
    """
    sittings = {when: rows.set_index("learner")[ASKED] for when, rows in answers.groupby("when")}
    names = [
        set(sittings[when].index) if when in sittings else set() for when in ("before", "after")
    ]
    both = sorted(names[0] & names[1])
    if len(both) < 2:
        raise ValueError(
            f"{len(both)} learner(s) took the test before and after; the gain of a class needs two or more"
        )
    before, after = (sittings[when].loc[both].to_numpy() for when in ("before", "after"))
    right = np.array([question.right for question in QUESTIONS])
    scores = np.stack([before == right, after == right]).astype(float)  # sitting, learner, question
    drawn = scores[:, rng.integers(len(both), size=(DRAWS, len(both)))].mean(axis=2)
    rows = []
    for column, question in enumerate(QUESTIONS):
        shares = scores[:, :, column].mean(axis=1, keepdims=True)
        low, high = _interval(normalised_gain(*drawn[:, :, column]))
        part = {"before": 100 * shares[0, 0], "after": 100 * shares[1, 0]}
        part |= {"gain": normalised_gain(*shares)[0], "low": low, "high": high}
        rows.append({"topic": question.topic, "chapter": question.chapter, **part})
    shares = scores.mean(axis=(1, 2))[:, None]
    low, high = _interval(normalised_gain(*drawn.mean(axis=2)))
    whole = {"before": 100 * shares[0, 0], "after": 100 * shares[1, 0]}
    whole |= {"gain": float(normalised_gain(*shares)[0]), "low": low, "high": high}
    questions = pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1, name="question"))
    left_out = tuple(sorted((names[0] | names[1]) - set(both)))
    return Gain(len(both), left_out, questions, whole, _beliefs(before, after))


def _beliefs(before: NDArray[np.object_], after: NDArray[np.object_]) -> pd.DataFrame:
    rows = [
        (
            option.belief,
            question.chapter,
            100 * (before[:, i] == x).mean(),
            100 * (after[:, i] == x).mean(),
        )
        for i, question in enumerate(QUESTIONS)
        for x, option in zip("abcd", question.options, strict=True)
        if option.belief
    ]
    table = pd.DataFrame(rows, columns=["misconception", "chapter", "before", "after"])
    table = table[table["after"] > 0].sort_values("after", ascending=False, kind="stable")
    return table.reset_index(drop=True)
