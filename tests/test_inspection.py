"""Parameters of a run: types, units, ranges, files and tools, looked at before anything runs."""

import pytest

from capkit import course
from capkit.course import inspection
from capkit.course.products import notebook_path


@pytest.fixture(scope="module")
def known():
    return inspection.inspect(notebook_path(c) for c in course.CHAPTERS)


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("seed", "3", 3),
        ("seed", 3, 3),
        ("slo_latency_ms", "30", 30.0),
        ("slo_latency_ms", "30 ms", 30.0),
        ("measure_s", "1e1s", 10.0),
        ("measure", "false", False),
        ("measure", True, True),
        ("trace", "code", "code"),
        ("dispatch_rule", "round_robin", "round_robin"),
    ],
)
def test_a_value_takes_the_type_of_its_default(known, name, given, value):
    assert inspection.parse(name, given, known) == value
    assert type(inspection.parse(name, given, known)) is type(value)


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("slo_latency", "30", "did you mean slo_latency_ms"),
        ("seed", "three", "seed must be of type int, got 'three'"),
        ("seed", 1.5, "seed must be of type int, got 1.5"),
        ("seed", -1, r"seed must lie in \[0, inf\), got -1"),
        ("measure", "maybe", "measure is true or false"),
        ("slo_latency_ms", "0.05 s", "slo_latency_ms is in ms, got '0.05 s'"),
        ("slo_percentile", "99%", "a number without a unit, got '99%'"),
        ("slo_percentile", 99, r"must lie in \(0.0, 1.0\), got 99"),
        ("slo_latency_ms", "nan", "must be of type float, got 'nan'"),
        ("load_scale", float("inf"), "must be of type float, got inf"),
        ("dispatch_rule", "randon", "one of random, round_robin, central, got 'randon'"),
        ("trace", ["chat"], r"trace takes one value, got \['chat'\]"),
        ("run_dir", "runs/a", "no parameter 'run_dir'"),
    ],
)
def test_a_wrong_value_says_what_is_wrong(known, name, given, message):
    with pytest.raises(ValueError, match=message):
        inspection.parse(name, given, known)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"trace": "nope.csv"}, "there is no file .*nope.csv"),
        ({"demand": "bad.csv"}, r"bad.csv, row 2 below the header, column 'requests': 'many'"),
        ({"demand": "bad.csv", "demand_count_column": "hits"}, "lacks the column.s. hits"),
        ({"prices": "bad.csv"}, "bad.csv lacks the column"),
        ({"provider": "nobody"}, "has the providers aws.*got 'nobody'"),
        ({"mnist": "nowhere"}, "there is no folder .*nowhere"),
        ({"solver": "nobody"}, "no solver 'nobody' here; installed: highs"),
        ({"target": "localhost"}, "target must be host:port, got 'localhost'"),
    ],
)
def test_files_and_tools_are_looked_at_before_anything_runs(
    known, tmp_path, monkeypatch, parameters, message
):
    rows = "time,requests\n2026-01-01T00:00,5\n2026-01-01T01:00,many\n"
    (tmp_path / "bad.csv").write_text(rows)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        inspection.check(parameters, known)


def test_a_file_is_found_from_where_the_command_was_given(known, tmp_path, monkeypatch):
    (tmp_path / "log.csv").write_text("timestamp\n1\n2\n")
    monkeypatch.chdir(tmp_path)
    assert inspection.check({"trace": "log.csv"}, known) == {"trace": str(tmp_path / "log.csv")}
