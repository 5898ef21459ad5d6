"""Studies: many scenarios of the plan or of the whole course, on this machine or on a cluster, as one table."""

from capkit.study.command import main, run_study, tasks
from capkit.study.design import Study, read_study
from capkit.study.engine import cluster, run_serially, run_tasks
from capkit.study.journal import Journal
from capkit.study.report import chosen_columns, plot_tradeoff, write_report
from capkit.study.scenario import Task, evaluate, size

__all__ = [
    "Journal",
    "Study",
    "Task",
    "chosen_columns",
    "cluster",
    "evaluate",
    "main",
    "plot_tradeoff",
    "read_study",
    "run_serially",
    "run_study",
    "run_tasks",
    "size",
    "tasks",
    "write_report",
]
