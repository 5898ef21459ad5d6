"""The concept test: every right answer is computed, and the report of the gain is what it says."""

import numpy as np
import pandas as pd
import pytest

from capkit import autoscaling, datasets, forecasting, queueing, simulation, tco
from capkit.__main__ import main as capkit_main
from capkit.autoscaling import HPA, Static
from capkit.course import CHAPTERS, concept_test
from capkit.course.concept_test import QUESTIONS, gain, keep, normalised_gain, read_answers
from capkit.planning import SLO

RIGHT = [question.right for question in QUESTIONS]
BY_TOPIC = {question.topic: question for question in QUESTIONS}


def answered(topic, letter):
    """The text of the right option; fails if another letter is right."""
    question = BY_TOPIC[topic]
    assert question.right == letter
    return question.options["abcd".index(letter)].text


def test_each_question_has_one_right_option_and_three_misconceptions_of_its_own():
    beliefs = [option.belief for question in QUESTIONS for option in question.options]
    assert len(QUESTIONS) == 10
    assert beliefs.count("") == 10
    assert len(set(beliefs)) == 31
    assert {question.chapter for question in QUESTIONS} <= {chapter[:2] for chapter in CHAPTERS}
    assert set(RIGHT) == set("abcd")


def test_percentiles_of_parts_bound_the_whole_and_do_not_give_it():
    answered("percentiles", "c")
    share = np.linspace(0.0, 1.0, 100_001)[1:-1]
    quick = {
        "constant": np.full(share.size, 10.0),
        "exponential": -10.0 * np.log1p(-share) / np.log(100.0),
    }
    slow = {
        "exponential": -100.0 * np.log1p(-share) / np.log(100.0),
        "rarely slow": np.where(share < 0.985, 1.0, 100.0),
    }
    whole = [
        np.quantile(np.r_[one, other], 0.99) for one in quick.values() for other in slow.values()
    ]
    for parts, p99 in ((quick, 10.0), (slow, 100.0)):
        for law in parts.values():
            assert np.quantile(law, 0.99) == pytest.approx(p99, rel=0.01)
    assert min(whole) >= 9.9 and max(whole) <= 100.0
    assert max(whole) > 5 * min(whole)


@pytest.mark.parametrize("service_cv2", [0.0, 1.0, 4.0])
def test_wait_about_doubles_from_90_to_95_percent(service_cv2):
    answered("utilisation", "d")
    at_90, at_95 = (queueing.MGc(u, 1.0, 1, service_cv2).mean_wait for u in (0.9, 0.95))
    assert at_90 > 0.0
    assert at_95 / at_90 == pytest.approx(2.0, rel=0.1)


@pytest.mark.parametrize("utilization", [0.5, 0.7, 0.9])
def test_one_line_for_all_waits_less_in_the_mean_and_in_the_tail(utilization):
    answered("pooling", "b")
    apart, shared = (queueing.MMc(utilization * c, 1.0, c) for c in (4, 8))
    assert shared.mean_wait < 0.7 * apart.mean_wait
    assert shared.response_quantile(0.99) < apart.response_quantile(0.99)


def test_closed_loop_hides_the_stall_that_users_meet():
    answered("coordinated omission", "b")
    closed_ms = np.r_[np.full(9_000, 10.0), 10_000.0]  # 90 s of short answers, and the long one
    assert closed_ms.sum() / 1e3 == pytest.approx(100.0)
    assert np.quantile(closed_ms, 0.99) == 10.0
    rng = np.random.default_rng(1)
    p99_s, met = [], []
    for _ in range(30):
        arrivals = simulation.poisson_arrivals(10.0, 100.0, rng)
        services = np.full(arrivals.size, 0.010)
        services[np.searchsorted(arrivals, 40.0)] = 10.0
        latency_s = simulation.simulate_fcfs(arrivals, services, 1) + services
        p99_s.append(np.quantile(latency_s, 0.99))
        met.append((latency_s > 1.0).mean())
    assert min(p99_s) > 5.0 and max(p99_s) < 10.0
    assert 0.05 < np.mean(met) < 0.15  # a tenth of the users, neither one nor all


def test_order_of_the_gaps_makes_the_wait():
    answered("drift and CV2", "a")
    rng = np.random.default_rng(1)
    recorded = np.diff(datasets.arrival_times("chat", rng), prepend=0.0)
    shuffled = rng.permutation(recorded)
    assert np.sort(shuffled) == pytest.approx(np.sort(recorded))
    services = rng.exponential(0.69 * 16 * recorded.mean(), recorded.size)
    waits = [
        simulation.simulate_fcfs(np.cumsum(gaps), services, 16).mean()
        for gaps in (recorded, shuffled)
    ]
    assert waits[0] > 4 * waits[1]


def test_overload_of_ten_minutes_outlasts_them():
    answered("stationarity", "b")
    servers, rng = 16, np.random.default_rng(1)
    load = np.where(np.arange(60) // 10 == 1, 1.2, (0.65 * 60 - 1.2 * 10) / 50)
    assert load.mean() == pytest.approx(0.65)
    arrivals = simulation.modulated_poisson(servers * load, 60.0, rng)
    waits = simulation.simulate_fcfs(arrivals, rng.exponential(1.0, arrivals.size), servers)
    formula = queueing.MMc(0.65 * servers, 1.0, servers).mean_wait
    during = waits[(arrivals >= 600) & (arrivals < 1200)]
    soon_after = waits[(arrivals >= 1200) & (arrivals < 1260)]
    assert waits.mean() > 20 * formula
    assert during.mean() > 20 * formula and soon_after.mean() > 20 * formula


def test_planning_for_the_mean_is_short_every_second_hour():
    answered("forecast quantile", "d")
    assert forecasting.newsvendor_ratio(1.0, 1.0) == 0.5
    rate = datasets.load_demand()["2017":"2019"]
    rolled = forecasting.rolling_forecasts(rate, "seasonal_naive", 168, origins=52)
    short = np.concatenate([rate[f.index] > f.mean for f in rolled])
    assert 0.4 < short.mean() < 0.6


def test_whole_machines_are_no_rounded_fractions():
    text = answered("whole machines", "c")
    assert text == "2 large ones and 1 small one."
    machines = pd.DataFrame(
        {"name": ["large", "small"], "capacity": [45, 10], "cost_usd_h": [1.80, 0.50]}
    )
    relaxed = tco.optimize(machines, 100, relaxed=True)
    whole = tco.optimize(machines, 100, gap=0)
    asked = BY_TOPIC["whole machines"].text
    assert f"{relaxed.counts.set_index('name')['count']['large']:.2f} large ones" in asked
    assert f"{relaxed.cost_usd_h:.2f} USD/h. Machines come" in asked
    assert whole.counts.set_index("name")["count"].to_dict() == {"large": 2, "small": 1}
    assert relaxed.cost_usd_h < whole.cost_usd_h < 3 * 1.80
    assert whole.cost_usd_h < 10 * 0.50 and 2 * 45 < 100


def test_three_zones_of_which_one_may_fail():
    assert answered("a zone lost", "c") == "45."
    server = pd.DataFrame({"name": ["server"], "capacity": [1], "cost_usd_h": [1.0]})
    fleet = tco.optimize(server, 30, zones=3, gap=0)
    assert fleet.cost_usd_h == pytest.approx(45.0)
    assert fleet.periods["capacity_after_loss"].iloc[0] == 30
    assert 40 - 40 // 3 < 30  # a zone's part of what is needed is not enough


def late_percent(controller, initial, *, step_s=15.0, startup_s=120.0):
    """Late requests in the half hour after demand rises from 1,000 to 4,000 requests/s."""
    steps = int(1800 / step_s)
    rates = np.where(np.arange(steps) < steps // 6, 1000.0, 4000.0)
    run = autoscaling.simulate(
        controller,
        rates,
        np.full(11, 0.005),
        SLO(0.99, 0.050),
        np.random.default_rng(1),
        startup_s=startup_s,
        initial=initial,
        step_s=step_s,
    )
    return 100 * run.replay.late_share, run


def test_only_servers_that_are_there_answer_in_time():
    answered("autoscaling and start-up", "a")
    ready, _ = late_percent(Static(34), 34)
    reactive, run = late_percent(HPA(0.6), 9)
    often, _ = late_percent(HPA(0.6), 9, step_s=5.0)
    higher, _ = late_percent(HPA(0.8), 7)
    needed = 4000.0 * 0.005 / 0.9
    rise, startup = 20, 8  # steps
    assert ready < 1.0
    assert reactive > 10.0 and often > 0.7 * reactive and higher > reactive
    assert run.ready[rise] < run.ready[rise + startup + 1] < needed  # what the first look ordered


def answers(tmp_path, rows, name="class.csv"):
    path = tmp_path / name
    for learner, when, letters in rows:
        keep(path, learner, when, letters)
    return path


def wrong(letter):
    return "a" if letter != "a" else "b"


def test_gain_of_a_class_by_hand(tmp_path):
    half = [*RIGHT[:5], *map(wrong, RIGHT[5:])]
    rows = [("ann", "before", half), ("bob", "before", half), ("cid", "before", half)]
    rows += [("ann", "after", RIGHT), ("bob", "after", half), ("dan", "after", RIGHT)]
    found = gain(read_answers([answers(tmp_path, rows)]), np.random.default_rng(1))
    assert found.learners == 2 and found.left_out == ("cid", "dan")
    assert found.whole["before"] == 50.0 and found.whole["after"] == 75.0
    assert found.whole["gain"] == pytest.approx(0.5)
    assert (found.whole["low"], found.whole["high"]) == (0.0, 1.0)
    assert found.questions["gain"].isna().tolist() == [True] * 5 + [False] * 5
    assert found.questions["gain"][6] == pytest.approx(0.5)
    assert found.beliefs["after"].tolist() == [50.0] * 5
    assert found.beliefs["before"].tolist() == [100.0] * 5
    assert "medium" in str(found) and "cid, dan" in str(found)


def test_interval_covers_the_gain_of_the_population(tmp_path):
    rng, inside = np.random.default_rng(7), 0
    for _ in range(40):
        before = rng.random((30, 10)) < 0.4
        after = before | (rng.random((30, 10)) < 0.5)  # half of what was missing
        table = pd.DataFrame(
            [
                [f"l{i}", when, *np.where(row, RIGHT, [wrong(x) for x in RIGHT])]
                for when, scores in (("before", before), ("after", after))
                for i, row in enumerate(scores)
            ],
            columns=["learner", "when", *[f"q{n}" for n in range(1, 11)]],
        )
        whole = gain(table, rng).whole
        inside += whole["low"] <= 0.5 <= whole["high"]
    assert inside >= 34


def test_gain_can_be_negative_and_is_undefined_where_nothing_was_left():
    found = normalised_gain(np.array([0.5, 1.0, 0.0]), np.array([0.25, 1.0, 0.0]))
    assert found[0] == -0.5 and np.isnan(found[1]) and found[2] == 0.0


def test_files_that_cannot_be_used_say_why(tmp_path):
    good = [("ann", "before", RIGHT), ("ann", "after", RIGHT)]
    with pytest.raises(ValueError, match="1 learner"):
        gain(read_answers([answers(tmp_path, good)]), np.random.default_rng(1))
    with pytest.raises(ValueError, match=r"row 1 below the header, column 'q1': 'x'"):
        read_answers([answers(tmp_path, [("bob", "before", ["x", *RIGHT[1:]])], "letter.csv")])
    with pytest.raises(ValueError, match="allowed are before, after"):
        read_answers([answers(tmp_path, [("bob", "later", RIGHT)], "when.csv")])
    twice = answers(tmp_path, [*good, ("ann", "after", RIGHT)], "twice.csv")
    with pytest.raises(ValueError, match="'ann' has more than one row 'after'"):
        read_answers([twice])
    short = tmp_path / "short.csv"
    short.write_text("learner,when,q1\nann,before,a\n")
    with pytest.raises(ValueError, match="no column q2"):
        read_answers([short])


def test_command_takes_the_test_without_telling_and_reports(tmp_path, monkeypatch, capsys):
    path = tmp_path / "class.csv"
    for learner in ("ann", "bob"):
        for when, letters in (("before", [*RIGHT[:4], "nonsense", *[""] * 6]), ("after", RIGHT)):
            typed = iter(letters)
            monkeypatch.setattr("builtins.input", lambda prompt, typed=typed: next(typed))
            command = ["concept-test", "take", "--learner", learner, "--when", when]
            assert capkit_main([*command, "--out", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "One of the letters" in shown
    assert not [o.belief for q in QUESTIONS for o in q.options if o.belief and o.belief in shown]
    with pytest.raises(SystemExit):
        capkit_main([*command, "--out", str(path)])
    assert "'bob' has a row 'after'" in capsys.readouterr().err
    assert capkit_main(["concept-test", "report", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "before 40 %, after 100 %; normalised gain 1.00 (high)" in shown
    assert shown.rstrip().endswith("none")
    assert capkit_main(["concept-test", "report", str(tmp_path / "none.csv")]) == 1


HEADER = ",".join(["learner", "when", *[f"q{n}" for n in range(1, 11)]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{HEADER}\nann,before{',a' * 10},b\n", "row 1 below the header: a value too many, 'b'"),
        (f'{HEADER}\nann,before,"a\n', "cannot be read as CSV"),
        ("", "no column learner"),
    ],
)
def test_report_says_what_is_wrong_with_a_file(tmp_path, capsys, text, message):
    path = tmp_path / "class.csv"
    path.write_text(text)
    assert capkit_main(["concept-test", "report", str(path)]) == 1
    assert message in capsys.readouterr().err


def test_report_takes_a_spreadsheet_s_trailing_commas(tmp_path, capsys):
    rows = [f"{who},{when}{',a' * 10},," for who in ("ann", "bob") for when in ("before", "after")]
    path = tmp_path / "class.csv"
    path.write_text("\n".join([f"{HEADER},,", *rows, ",,"]) + "\n")
    assert capkit_main(["concept-test", "report", str(path)]) == 0
    assert "2 learners took both tests." in capsys.readouterr().out


def test_report_of_a_folder_is_refused_in_one_line(tmp_path, capsys):
    assert capkit_main(["concept-test", "report", str(tmp_path)]) == 1
    assert capsys.readouterr().err.strip() == f"no report: there is no file {tmp_path}"


def take(monkeypatch, out, typed):
    monkeypatch.setattr("builtins.input", typed)
    command = ["concept-test", "take", "--learner", "ann", "--when", "before", "--out", str(out)]
    return capkit_main(command)


def unasked(prompt):
    raise AssertionError("asked before the file was seen to be usable")


def test_take_asks_nothing_if_its_file_cannot_be_used(tmp_path, monkeypatch, capsys):
    others = tmp_path / "others.csv"
    others.write_text("name,letter\nann,a\n")
    more = tmp_path / "more.csv"
    more.write_text(f"class,{HEADER}\n")
    wrong_files = {
        others: "no column learner",
        more: "columns class, learner",
        tmp_path: "there is no file",
        others / "new.csv": "others.csv",
    }
    for out, message in wrong_files.items():
        with pytest.raises(SystemExit):
            take(monkeypatch, out, unasked)
        assert message in capsys.readouterr().err
    assert others.read_text() == "name,letter\nann,a\n"


def test_take_makes_the_folder_of_its_file(tmp_path, monkeypatch, capsys):
    out = tmp_path / "new" / "class.csv"
    assert take(monkeypatch, out, lambda prompt: "a") == 0
    assert read_answers([out])["q10"].tolist() == ["a"]
    capsys.readouterr()


@pytest.mark.parametrize("stop", [EOFError, KeyboardInterrupt])
def test_take_that_is_stopped_keeps_nothing_and_says_so(tmp_path, monkeypatch, capsys, stop):
    out, typed = tmp_path / "class.csv", iter(["a", "b"])

    def some(prompt):
        try:
            return next(typed)
        except StopIteration:
            raise stop from None

    assert take(monkeypatch, out, some) == 1
    assert "stopped: nothing is kept" in capsys.readouterr().err
    assert not out.exists()


def test_class_that_knew_everything_had_nothing_to_gain(tmp_path):
    rows = [(who, when, RIGHT) for who in ("ann", "bob") for when in ("before", "after")]
    shown = str(gain(read_answers([answers(tmp_path, rows)]), np.random.default_rng(1)))
    assert "Right before 100 %, after 100 %; there was nothing left to gain." in shown
    assert "nan" not in shown


def test_sheet_shows_every_option_and_no_belief(capsys):
    assert capkit_main(["concept-test", "sheet"]) == 0
    shown = capsys.readouterr().out
    for question in QUESTIONS:
        assert question.text in shown
        for option in question.options:
            assert f") {option.text}" in shown
            assert not option.belief or option.belief not in shown
    assert concept_test.sheet().count("\n- ") == 40
