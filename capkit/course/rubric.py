"""The way through the capstone, and the points that each part of it is worth."""

from __future__ import annotations

import pandas as pd

WAY = (
    ("Which rows of the log are requests? What did you drop, and why?", "03", "11.1"),
    (
        "When was nothing recorded? How far is the busiest minute above the mean?",
        "03",
        "11.2, 11.3",
    ),
    ("What was promised? How long does one warm server take?", "01, 05, 06", "11.4"),
    ("Which hours does the history lack, and on which clock is it?", "07", "11.5"),
    ("What will the week ask for, and how sure are you?", "07", "11.6"),
    ("What would the naive plan cost?", "08, 09", "11.7"),
    ("How many of which machine, hour by hour, with a zone lost?", "06, 08, 09", "11.8"),
    ("What would change it, and who notices when it no longer holds?", "09, 10", "in words"),
)
RUBRIC = (
    ("data", "cleaned; each repair said with its reason, nothing changed in silence", "11.1, 11.2, 11.5", 15),
    ("workload", "what decides the size: busiest minute, hour, week; what does not", "11.3", 10),
    ("target, service", "the promise in one sentence; a warm server: time, variation, memory", "11.4", 10),
    ("forecast", "models compared by a backtest, one chosen with a reason; interval checked", "11.6", 15),
    ("fleet", "servers of the busiest hour by formula and by simulation; why these machines", "", 15),
    ("plan", "replayed on the week that came, with all zones and with one lost", "11.8", 15),
    ("money", "beside the naive plan: what each requirement costs", "11.7", 5),
    ("what would change it", "two changes that matter, in USD; what to measure next; which alarm", "", 10),
    ("own errors", "predicted before, revealed after; one sentence on the largest", "", 5),
)  # fmt: skip


def way() -> pd.DataFrame:
    """One row a step: the question, the chapters that answer it, the milestone that checks it.

    >>> way().loc[1, "milestone"]
    '11.1'
    """
    index = pd.RangeIndex(1, len(WAY) + 1, name="step")
    return pd.DataFrame(WAY, index, columns=["question", "chapters", "milestone"])


def rubric() -> pd.DataFrame:
    """One row a part: what earns its points, the milestones that belong to it, the points out of 100.

    >>> int(rubric()["points"].sum())
    100
    """
    columns = ["part", "what earns the points", "milestones", "points"]
    return pd.DataFrame(RUBRIC, columns=columns).set_index("part")
