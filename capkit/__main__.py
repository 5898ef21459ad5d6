"""The command line: `python -m capkit check`, `run`, `plan` and the others of `COMMANDS`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module

COMMANDS = {
    "check": ("capkit.course.check", "is everything here that the course needs?"),
    "run": ("capkit.course.run", "the chapters, with parameters, and the plan at the end"),
    "sweep": ("capkit.study", "many scenarios, of the plan or of the chapters, as one table"),
    "serve": ("capkit.serving", "serve a SavedModel over gRPC and REST"),
    "loadtest": ("capkit.loadtest", "send an open-loop load to a server and report the latency"),
    "ledger": ("capkit.ledger", "predict a server, lock it, measure it, print the signed errors"),
    "plan": ("capkit.planning", "the plan from the products of a run"),
    "notebooks": ("capkit.course.notebooks", "write the notebooks' outputs, or the reference run"),
    "exercises": ("capkit.course.exercises", "generate the exercises from their solutions"),
    "concept-test": ("capkit.course.concept_test", "ten questions before and after, and the gain"),
    "gpu-bench": ("capkit.gpubench", "train and infer on the accelerator, if there is one"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command named first; what follows is the command's own."""
    given = sys.argv[1:] if arguments is None else arguments
    if not given or given[0] not in COMMANDS:
        print("usage: python -m capkit COMMAND [--help]\n")
        for name, (_, purpose) in COMMANDS.items():
            print(f"  {name:12} {purpose}")
        return 0 if given[:1] in ([], ["--help"], ["-h"]) else 2
    run: Callable[[list[str]], int] = import_module(COMMANDS[given[0]][0]).main
    return run(given[1:])


if __name__ == "__main__":
    sys.exit(main())
