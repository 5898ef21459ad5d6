"""Exercises: generated from the solutions, checked without telling the answer, with hints; the learner's own ledger."""

from capkit.course.exercises.checks import check, hint, judge, passed, question
from capkit.course.exercises.generate import exercises_dir, generate, main, solutions_dir, stub
from capkit.course.exercises.own_ledger import own_ledger_path, own_predictions, predict, reveal
from capkit.course.exercises.verdicts import (
    NOT_DONE,
    Choice,
    Function,
    Number,
    Properties,
    Verdict,
)

__all__ = [
    "NOT_DONE",
    "Choice",
    "Function",
    "Number",
    "Properties",
    "Verdict",
    "check",
    "exercises_dir",
    "generate",
    "hint",
    "judge",
    "main",
    "own_ledger_path",
    "own_predictions",
    "passed",
    "predict",
    "question",
    "reveal",
    "solutions_dir",
    "stub",
]
