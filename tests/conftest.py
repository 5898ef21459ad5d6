"""What several test files share."""

import os

import pytest


def require(present, what, command):
    """Skip a test whose outside tool is missing, naming the command that installs it; fail in CI."""
    if not present:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(
            f"{what} is not installed: {command}"
        )
