"""What several test files share."""

import os

import pytest
from hypothesis import settings

# The same examples in every run, and no failure for want of time.
settings.register_profile("course", deadline=None, derandomize=True)
settings.load_profile("course")


def require(present, what, command):
    """Skip a test whose outside tool is missing, naming the command that installs it; fail in CI."""
    if not present:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(
            f"{what} is not installed: {command}"
        )
