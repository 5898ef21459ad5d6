"""What several test files share."""

import os

import nbformat
import pytest
from gpu_report import run_command
from hypothesis import settings

from capkit.course import CHAPTERS
from capkit.course.products import notebook_path

# The same examples in every run, and no failure for want of time.
settings.register_profile("course", deadline=None, derandomize=True)
settings.load_profile("course")


def require(present, what, command):
    """Skip a test whose outside tool is missing, naming the command that installs it; fail in CI."""
    if not present:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(
            f"{what} is not installed: {command}"
        )


@pytest.fixture(params=CHAPTERS)
def chapter(request):
    """Name of each chapter in turn."""
    return request.param


@pytest.fixture
def notebook(chapter):
    """The chapter's notebook."""
    return nbformat.read(notebook_path(chapter), as_version=4)


@pytest.fixture(scope="session")
def quick_run(tmp_path_factory):
    """The device benchmark with small sizes: how it ended, and its report."""
    out = tmp_path_factory.mktemp("bench") / "cpu.json"
    return run_command(out), out
