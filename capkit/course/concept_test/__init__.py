"""The concept test of ten questions, before and after: `python -m capkit concept-test`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from capkit.course.concept_test.answers import SITTINGS, ask, keep, prepare, read_answers, sheet
from capkit.course.concept_test.gain import Gain, gain, normalised_gain
from capkit.course.concept_test.questions import QUESTIONS, Option, Question

__all__ = [
    "QUESTIONS",
    "Gain",
    "Option",
    "Question",
    "ask",
    "gain",
    "keep",
    "main",
    "normalised_gain",
    "prepare",
    "read_answers",
    "sheet",
]


def main(arguments: list[str] | None = None) -> int:
    """Print the sheet, take the test, or report the gain of a class."""
    parser = argparse.ArgumentParser(prog="python -m capkit concept-test", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("sheet", help="print the test as Markdown, without the answers")
    take = actions.add_parser("take", help="answer it here; right or wrong is not told")
    take.add_argument("--learner", required=True, help="name or pseudonym, the same both times")
    take.add_argument("--when", required=True, choices=SITTINGS)
    take.add_argument("--out", type=Path, default=Path("answers.csv"), help="file to add to")
    report = actions.add_parser("report", help="the gain of a class, for the teacher")
    report.add_argument(
        "answers", type=Path, nargs="+", help="CSV files of take, or typed from paper"
    )
    options = parser.parse_args(arguments)
    if options.action == "sheet":
        print(sheet())
    elif options.action == "take":
        try:
            prepare(options.out, options.learner, options.when)
            keep(options.out, options.learner, options.when, ask(input))
        except (ValueError, OSError) as problem:
            parser.error(str(problem))
        except (EOFError, KeyboardInterrupt):
            print("\nstopped: nothing is kept", file=sys.stderr)
            return 1
        print(f"\nkept in {options.out}")
    else:
        try:
            print(gain(read_answers(options.answers), np.random.default_rng(1)))
        except (ValueError, OSError) as problem:
            print(f"no report: {problem}", file=sys.stderr)
            return 1
    return 0
