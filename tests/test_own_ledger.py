"""The learner's own ledger bears damaged files and values that are no numbers: told in a line, never raised."""

import numpy as np
import pytest

from capkit import course


@pytest.fixture
def shown(tmp_path, monkeypatch):
    """The lines that are displayed; the ledger lies in a folder of its own."""
    lines = []
    monkeypatch.setattr("IPython.display.display", lambda markdown: lines.append(markdown.data))
    monkeypatch.setenv("CAPKIT_RUNS", str(tmp_path))
    return lines


DAMAGED = ["", "[{", '{"what": 1}', '[{"what": "wait"}]', "[1]", "\x00"]


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_ledger_is_named_and_kept(tmp_path, shown, text):
    path = tmp_path / "my_predictions.json"
    path.write_text(text)
    course.predict("wait", 1.0, "s")
    course.reveal("wait", 2.0)
    assert course.own_predictions().empty
    assert len(shown) == 3
    assert all(str(path) in line and "move it away" in line for line in shown)
    assert path.read_text() == text


@pytest.mark.parametrize("value", ["abc", ..., None, float("nan"), float("inf"), [1.0, 2.0]])
def test_what_is_no_number_is_not_revealed(shown, value):
    course.predict("wait", 1.0, "s")
    course.reveal("wait", value)
    assert "one finite number" in shown[-1] and "nan %" not in shown[-1]
    assert course.own_predictions().empty
    course.reveal("wait", 2.0)  # the prediction still waits for its truth
    assert course.own_predictions()["error_percent"].tolist() == [-50.0]


@pytest.mark.parametrize(
    "bounds", [{"low": 1.0}, {"high": 3.0}, {"low": 1.0, "high": float("nan")}]
)
def test_half_an_interval_is_none(shown, bounds):
    course.predict("wait", 1.5, "s")
    course.reveal("wait", 2.0, **bounds)
    assert course.own_predictions()["inside"].tolist() == [None]


def test_numbers_of_numpy_are_kept(shown):
    course.predict("wait", np.float32(1.5), "s")
    course.reveal("wait", np.array(2.0), low=np.float32(1.0), high=np.int64(3))
    row = course.own_predictions().iloc[0]
    assert (row["predicted"], row["revealed"], row["inside"]) == (1.5, 2.0, True)
    assert "**2** (1 to 3): -25 %" in shown[-1]
