"""`make lab` as a new user meets it: JupyterLab on this machine only, with a token, at chapter 00."""

import re
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from capkit.datasets import project_root


@pytest.fixture
def address():
    """Start `make lab` without a screen; the address that it prints."""
    server = subprocess.Popen(
        ["make", "--no-print-directory", "lab", "DISPLAY=", "WAYLAND_DISPLAY="],
        cwd=project_root(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    found = (re.search(r"http://127\.0\.0\.1:\S+token=\w+", line) for line in server.stdout)
    yield next(match[0] for match in found if match)
    subprocess.run(["pkill", "-g", str(server.pid)], check=False)
    server.wait(timeout=20)


def answer_of(url):
    """Status of an address; the server prints it shortly before it listens."""
    for _ in range(100):
        try:
            with urllib.request.urlopen(url) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except urllib.error.URLError:
            time.sleep(0.2)
    raise TimeoutError(f"no answer from {url}")


@pytest.mark.more
def test_lab_opens_the_first_chapter_for_its_owner_only(address):
    assert "00_start_here.ipynb" in address
    base, token = re.match(r"(http://127\.0\.0\.1:\d+)/.*token=(\w+)", address).groups()
    contents = f"{base}/api/contents/notebooks/00_start_here.ipynb?content=0"
    assert answer_of(f"{contents}&token={token}") == 200
    assert answer_of(contents) == 403
