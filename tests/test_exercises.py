"""The exercises are their solutions without the answers; checks know right from kinds of wrong and tell neither."""

import ast
import itertools
import re
import symtable
from collections import Counter

import nbformat
import numpy as np
import pytest

from capkit import course
from capkit.course import exercises
from capkit.course.exercises import Choice, Function, Number, Properties, checks
from capkit.course.exercises.checks import EXERCISES, find
from capkit.course.exercises.generate import names_read, parts
from capkit.course.notebooks import has_own_outputs
from capkit.queueing import min_servers

SOLUTIONS = sorted(exercises.solutions_dir().glob("*.ipynb"))
SCENARIOS = [
    {},
    {
        "slo_latency_ms": 20.0,
        "slo_percentile": 0.95,
        "trace": "code",
        "seed": 7,
        "load_scale": 40.0,
        "provider": "azure",
    },
]


@pytest.fixture(params=SOLUTIONS, ids=[path.stem for path in SOLUTIONS])
def chapter(request, monkeypatch, tmp_path):
    monkeypatch.setenv("CAPKIT_RUNS", str(tmp_path))
    return request.param.name


def read(folder, name):
    return nbformat.read(folder / name, as_version=4)


def tags(cell):
    return set(cell.metadata.get("tags", []))


def run(cells, names, parameters):
    """Execute code cells in this process, on ``names``, which they change."""
    for cell in cells:
        if cell.cell_type == "code":
            exec(compile(cell.source, "exercise", "exec"), names)
            if "parameters" in tags(cell):
                names.update({k: v for k, v in parameters.items() if k in names})
    return names


def keys(notebook):
    return [
        node.args[0].value
        for cell in notebook.cells
        if "check" in tags(cell)
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "check"
    ]


def test_every_exercise_is_freshly_generated():
    made = {path.name for path in exercises.exercises_dir().glob("*.ipynb")}
    assert made == {path.name for path in SOLUTIONS}


def test_exercise_is_what_the_solution_generates(chapter):
    fresh = exercises.generate(read(exercises.solutions_dir(), chapter))
    nbformat.validate(fresh)
    committed = (exercises.exercises_dir() / chapter).read_text(encoding="utf-8")
    assert committed.rstrip("\n") == nbformat.writes(fresh).rstrip("\n")


def test_solutions_show_what_their_source_gives(chapter):
    solutions = read(exercises.solutions_dir(), chapter)
    assert has_own_outputs(solutions), "run: python -m capkit exercises"
    code = [cell for cell in solutions.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert not [o for cell in code for o in cell.outputs if o.output_type == "error"]
    shown = "".join(str(o) for cell in code for o in cell.outputs)
    assert shown.count("✓") == len(keys(solutions)) and "✗" not in shown


def answers(solutions):
    """Every text of a solution that would tell its answer: explanations, assignments, returned values."""
    for cell in solutions.cells:
        if "solution" in tags(cell) and cell.cell_type == "markdown":
            yield cell.source[:60]
        elif "solution" in tags(cell):
            for node in ast.walk(ast.parse(cell.source)):
                if isinstance(node, ast.Assign | ast.Return) and node.value is not None:
                    yield ast.get_source_segment(cell.source, node)


def test_no_answer_survives(chapter):
    solutions = read(exercises.solutions_dir(), chapter)
    told, left = (
        "\n".join(cell.source for cell in notebook.cells)
        for notebook in (solutions, read(exercises.exercises_dir(), chapter))
    )
    texts = list(answers(solutions))
    assert texts and all(text in told for text in texts)
    assert [text for text in texts if text in left] == []


@pytest.mark.more
@pytest.mark.parametrize("parameters", SCENARIOS, ids=["reference", "other"])
def test_solutions_pass_every_check(chapter, parameters, monkeypatch, capsys):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")  # a check that is not passed raises
    solutions = read(exercises.solutions_dir(), chapter)
    asked = keys(solutions)
    assert asked and len(asked) == len(set(asked))
    run(solutions.cells, {}, parameters)
    assert set(asked) == {key for key in EXERCISES if key.startswith(f"{chapter[:2]}.")}
    assert all(exercises.passed(key) for key in asked)
    capsys.readouterr()


@pytest.mark.more
def test_a_target_that_nothing_meets_is_said_not_raised(chapter, monkeypatch):
    notebook, shown = read(exercises.exercises_dir(), chapter), []
    names = run(notebook.cells, {}, {"slo_latency_ms": 1.0})
    answers = {name: 1.0 for name, value in names.items() if value is ...}
    monkeypatch.setattr("IPython.display.display", lambda text: shown.append(text.data))
    cells = [cell for cell in notebook.cells if "check" in tags(cell)]
    run(cells, names | answers, {})
    told = {text.split("**")[1] for text in shown if "this exercise has no answer: " in text}
    impossible = {"02.5", "05.5", "06.2", "09.6"}
    assert told == {key for key in impossible if key[:2] == chapter[:2]}


@pytest.mark.more
def test_untouched_exercises_run_and_say_that_nothing_is_done_and_no_hint(chapter, monkeypatch):
    untouched, shown = read(exercises.exercises_dir(), chapter), []
    monkeypatch.setattr(checks, "_hints_seen", Counter())
    monkeypatch.setattr(
        "IPython.display.display", lambda text: shown.append(getattr(text, "data", ""))
    )
    run(untouched.cells, {}, {})
    asked = keys(untouched)
    assert not any(exercises.passed(key) for key in asked)
    assert sum(exercises.NOT_DONE in text for text in shown) == len(asked)
    assert not any(hint in text for key in asked for hint in find(key).hints for text in shown)


def test_each_exercise_has_hints_and_graded_cells(chapter):
    notebook = read(exercises.exercises_dir(), chapter)
    asked = keys(notebook)
    assert len(asked) >= 4
    assert all(len(find(key).hints) >= 2 for key in asked)
    graded = [c.metadata["nbgrader"] for c in notebook.cells if "nbgrader" in c.metadata]
    assert sum(cell["grade"] for cell in graded) == len(asked)
    assert len({cell["grade_id"] for cell in graded}) == len(graded)


def test_at_least_one_exercise_is_on_data_of_the_reader(chapter):
    titles = [c.source.splitlines()[0] for c in read(exercises.exercises_dir(), chapter).cells]
    assert any(re.match(r"## \d\d\.\d .*on your own (data|prices)", t, re.I) for t in titles)


def test_no_code_cell_is_empty(chapter):
    notebook = read(exercises.exercises_dir(), chapter)
    assert all(cell.source.strip() for cell in notebook.cells)


def test_givens_are_locked_unless_a_learner_shall_change_them(chapter):
    notebook = read(exercises.exercises_dir(), chapter)
    for cell in notebook.cells:
        if cell.cell_type == "code" and not tags(cell) & {"parameters", "hint", "own"}:
            assert cell.metadata["nbgrader"]["locked"] != ("solution" in tags(cell))
        elif "own" in tags(cell):
            assert "nbgrader" not in cell.metadata


def test_unit_slips_are_named():
    number = Number(120.0, "ms")
    assert "1000" in number.judge(0.12).text and "milliseconds" in number.judge(0.12).text
    assert "sign" in number.judge(-120.0).text
    assert "too much" in number.judge(131.0).text and "too little" in number.judge(119.0 / 7.5).text
    for nothing in ("120", [120.0], float("nan"), True, np.True_, 10**400):
        assert "One finite number" in number.judge(nothing).text
    assert "this is nan" in number.judge(float("nan")).text
    assert "120" not in " ".join(number.judge(x).text for x in (0.12, -120.0, 131.0, 9.0))


def test_counts_are_exact():
    assert not Number(1000.0, "servers", tolerance=0.0).judge(1001).right
    assert Number(1000.0, "servers", tolerance=0.0).judge(1000).right


def test_functions_are_tried_and_their_errors_told():
    question = Function(lambda x: 2.0 * x, [(1.0,), (2.0,), (5.0,)], "s")
    assert "milliseconds" in question.judge(lambda x: 2000.0 * x).text
    assert "ZeroDivisionError" in question.judge(lambda x: x / 0.0).text
    assert question.judge(lambda x: ...).text == exercises.NOT_DONE
    assert "returns nothing" in question.judge(lambda x: None).text
    assert "function is asked for" in question.judge(3.0).text


def test_functions_cannot_change_what_is_asked():
    def emptied(values):
        values.clear()
        return 0.0

    assert (
        not Function(lambda values: float(sum(values)), [([1.0, 2.0],)], "s").judge(emptied).right
    )


def test_functions_are_told_the_mistake_they_make():
    slips = {"That is the square.": lambda x: x * x, "That is the cube.": lambda x: x**3}
    question = Function(lambda x: 2.0 * x, [(1.0,), (2.0,), (5.0,)], "s", slips=slips)
    assert question.judge(lambda x: x + x).right
    assert question.judge(lambda x: x**2).text == "Not yet. That is the square."
    assert question.judge(lambda x: x**3).text == "Not yet. That is the cube."
    assert "right in 1 of 3" in question.judge(lambda x: 4.0 if x == 2.0 else 0.1).text


def test_choices_say_why_not():
    question = Choice("drift", {"gaps": "Shuffle them."})
    assert question.judge(" Drift ").right
    assert question.judge("gaps").text == "Not yet. Shuffle them."
    assert (
        "'drift', 'gaps'" in question.judge("else").text and "'drift'" in question.judge([3]).text
    )


def test_properties_name_the_one_that_fails_and_bad_input():
    question = Properties({"positive": lambda x: x > 0, "even": lambda x: x % 2 == 0})
    assert question.judge(2).right and question.judge(3).text == "Not yet. even"
    assert "could not be tried" in question.judge("x").text
    finite = Properties({"a whole number": lambda x: x == int(x)})
    assert "OverflowError" in finite.judge(float("inf")).text


def test_an_alarm_may_not_know_the_calendar_or_the_future():
    rng = np.random.default_rng(4)
    came = 100.0 + rng.uniform(0.0, 10.0, 20 * 168)
    came[-48:] *= 1.4
    terms = {"came": came, "shift_hour": came.size - 48, "rise": 1.4}
    alarms = {
        "Right.": lambda counts: counts > 120.0,
        exercises.NOT_DONE: lambda counts: ...,
        "could not be tried": np.arange(came.size) >= came.size - 48,
        "a week earlier": lambda counts: np.arange(counts.size) >= counts.size - 48,
        "it looks ahead": lambda counts: counts > 0.9 * counts.max(),
        "one True or False": lambda counts: counts[1:] > 120.0,
        "rings already": lambda counts: counts > 0.0,
        "within 24 hours of the shift": lambda counts: counts > 1e6,
        "more than 6 false alarms": lambda counts: (
            (counts > 120.0) | (np.arange(counts.size) % 99 == 5)
        ),
    }
    for text, alarm in alarms.items():
        assert text in exercises.judge("10.7", alarm, delay_h=24, false_alarms=6, **terms).text


def test_slips_of_the_first_line_of_ones_own_plan():
    own = {"rate_rps": 327.0, "service_ms": 20.0, "target_ms": 100.0, "percentile": 0.99}
    texts = {15: "Right.", 9: "left after the loss", 10: "one server more", 12: "the target"}
    for servers, text in texts.items():
        assert text in exercises.judge("11.9", servers, zones=3, **own).text
    assert "of 1 zone nothing is left" in exercises.judge("11.9", 9, zones=1, **own).text


def test_unknown_exercise_names_those_there_are():
    with pytest.raises(ValueError, match=r"chapter 06 has 06\.1, 06\.2"):
        exercises.judge("06.99", 1.0)
    with pytest.raises(ValueError, match="no exercises for chapter"):
        exercises.judge("99.1", 1.0)


def test_a_check_without_an_answer_before_it_is_refused():
    check = nbformat.v4.new_code_cell("exercises.check('06.1', x)", metadata={"tags": ["check"]})
    with pytest.raises(ValueError, match="without a solution"):
        exercises.generate(nbformat.v4.new_notebook(cells=[check]))


def test_a_helper_with_the_name_of_another_exercise_gets_no_dots():
    notebook = read(exercises.solutions_dir(), "06_queueing.ipynb")
    second = next(cell for cell in notebook.cells if "# Servers at the target" in cell.source)
    second.source += "\narrival_rate = 1.0"  # a given of 06.1, and no answer to 06.2
    made = [cell.source for cell in exercises.generate(notebook).cells]
    assert not any("arrival_rate = ..." in source for source in made)


def test_no_exercise_takes_a_name_from_another(chapter):
    solutions, bound = read(exercises.solutions_dir(), chapter), Counter()
    for part in parts(solutions):
        code = [cell.source for cell in part if cell.cell_type == "code"]
        names = [n for source in code for n in symtable.symtable(source, "", "exec").get_symbols()]
        bound.update({n.get_name() for n in names if n.is_assigned() or n.is_imported()})
    twice = {name for name, times in bound.items() if times > 1}
    assert not twice & names_read(solutions.cells)


@pytest.mark.more
@pytest.mark.parametrize("chapter", SOLUTIONS[:-1], indirect=True, ids=lambda path: path.stem)
def test_each_answer_alone_passes_after_all_cells_were_run(chapter, monkeypatch, capsys):
    """All but the capstone's, each of which needs those before it."""
    names = run(read(exercises.exercises_dir(), chapter).cells, {}, {})
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    solutions = read(exercises.solutions_dir(), chapter)
    for part in reversed(parts(solutions)):
        run([cell for cell in part if tags(cell) & {"solution", "check"}], names, {})
    assert all(exercises.passed(key) for key in keys(solutions))
    capsys.readouterr()


def test_hints_come_one_at_a_time(monkeypatch):
    monkeypatch.setattr(checks, "_hints_seen", Counter())
    hints, shown = find("06.4").hints, []
    monkeypatch.setattr("IPython.display.display", lambda text: shown.append(text.data))
    for _ in range(len(hints) + 2):
        exercises.hint("06.4")
    for number, text in enumerate(shown[:-1]):
        assert [hint in text for hint in hints] == [i < number for i in range(len(hints))]
    assert "run this cell again for the first" in shown[0] and "1 more" in shown[-3]
    assert shown[-1] == shown[-2] and "last hint" in shown[-1] and "last hint" not in shown[-3]


def test_verdicts_are_shown_with_their_mark(monkeypatch):
    shown, given = [], {"arrival_rate": 10.0, "service_rate": 4.0, "servers": 3}
    monkeypatch.setattr("IPython.display.display", lambda text: shown.append(text.data))
    exercises.check("06.1", ..., **given)
    exercises.check("06.1", 36.1, **given)
    assert not exercises.passed("06.1")
    exercises.check("06.1", 21.067, **given)
    assert exercises.passed("06.1")
    assert [text[0] for text in shown] == ["…", "✗", "✓"] and "response" in shown[1]


def test_own_ledger_keeps_the_first_prediction(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CAPKIT_RUNS", str(tmp_path))
    course.reveal("wait", 3.0)
    course.predict("wait", ..., "s")
    assert course.own_predictions().empty
    course.predict("wait", 1.0, "s")
    course.predict("wait", 2.0, "s")  # before it is revealed a prediction may change
    course.reveal("wait", 4.0, low=3.0, high=5.0)
    course.predict("wait", 4.0, "s")  # after that it is none
    course.reveal("wait", 4.0)
    course.predict("cost", 10.0, "USD")
    course.reveal("cost", 8.0)
    table = course.own_predictions()
    assert table["what"].tolist() == ["wait", "cost"]
    assert table["error_percent"].tolist() == [-50.0, 25.0]
    assert table["inside"].tolist() == [False, None]
    course.predict("more servers", 1.0, "servers")
    course.reveal("more servers", 0.0)  # a truth of 0 has no error in per cent
    assert course.own_predictions()["error_percent"].isna().tolist() == [False, False, True]
    course.predict("late", "four", "s")  # no number: told, not noted, not raised
    course.reveal("late", 4.0)
    assert "late" not in course.own_predictions()["what"].tolist()
    capsys.readouterr()


def test_slips_of_chapter_06_are_named_without_the_answer():
    pools = {"teams": 8, "rate": 6.0, "service_rate": 1.0, "max_response_s": 7.0}
    alone, together = (
        min_servers(rate, 1.0, percentile=0.99, max_response=7.0) for rate in (6.0, 48.0)
    )
    judged = exercises.judge("06.4", 8 * alone * 730 * 0.4, usd_server_h=0.4, **pools)
    assert "what the pools of the teams cost" in judged.text
    judged = exercises.judge("06.4", together * 730 * 0.4, usd_server_h=0.4, **pools)
    assert "what the one pool costs" in judged.text
    desk = {"arrival_rate": 10.0, "service_rate": 4.0, "servers": 3}
    assert "in hours" in exercises.judge("06.1", 21.067 / 60, **desk).text


@pytest.mark.parametrize("slo_latency_ms", [1.0, 2.0, 3.0])
def test_half_a_target_that_no_fleet_meets_is_said_not_raised(slo_latency_ms):
    service = {"rate": 1e4, "service_rate": 1e3, "service_cv2": 0.05, "overhead_s": 0.001}
    terms = {"slo_percentile": 0.99, "slo_latency_ms": slo_latency_ms}
    verdict = exercises.judge("06.2", 1, **service, **terms)
    assert not verdict.right
    assert f"meets half of slo_latency_ms = {slo_latency_ms:g}" in verdict.text


def test_numbers_of_exercises_follow_each_other(chapter):
    asked = [
        tuple(map(int, key.split("."))) for key in keys(read(exercises.solutions_dir(), chapter))
    ]
    assert all(b == (a[0], a[1] + 1) for a, b in itertools.pairwise(asked))
