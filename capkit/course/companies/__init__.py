"""Unseen companies for the capstone: from a seed, the raw files of the trade and a week that is held out."""

from capkit.course.companies.company import (
    HISTORY_H,
    SCENARIO,
    WEEK_H,
    Company,
    found,
    scenario,
)
from capkit.course.companies.files import brief, open_files, write_files

__all__ = [
    "HISTORY_H",
    "SCENARIO",
    "WEEK_H",
    "Company",
    "brief",
    "found",
    "open_files",
    "scenario",
    "write_files",
]
