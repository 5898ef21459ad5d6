"""The batch scheduler, the slots of the executor, and the configuration files of both."""

import threading
import time

import numpy as np
import pytest

from capkit.serving.batching import Batching, BatchScheduler, Task
from capkit.serving.device import Device
from capkit.serving.executor import Executor
from capkit.serving.metrics import Monitoring, ServingError


def executed_batches(parameters, sizes, busy_s=0.0):
    """Sizes of the batches that a scheduler makes of tasks handed in at once."""
    batches = []

    def execute(batch):
        batches.append([task.examples for task in batch])
        time.sleep(busy_s)

    scheduler = BatchScheduler(parameters, execute)
    tasks = [Task(None, size, float("inf")) for size in sizes]
    for task in tasks:
        scheduler.submit(task)
    scheduler.stop()
    assert all(task.done.is_set() for task in tasks)
    return batches


def test_scheduler_fills_batches_in_order():
    parameters = Batching(4, 10_000_000, 10, 1)
    assert executed_batches(parameters, [1, 2, 1, 3, 3, 1]) == [[1, 2, 1], [3], [3, 1]]


def test_scheduler_waits_for_the_time_out_and_no_longer():
    scheduler = BatchScheduler(Batching(4, 50_000, 10, 1), lambda batch: None)
    task = Task(None, 1, float("inf"))
    started = time.monotonic()
    scheduler.submit(task)
    task.done.wait()
    assert time.monotonic() - started >= 0.05
    scheduler.stop()


def test_scheduler_gives_up_a_batch_whose_tasks_all_timed_out():
    scheduler = BatchScheduler(Batching(4, 0, 10, 1), lambda batch: None)
    task = Task(None, 1, time.monotonic() - 1)
    scheduler.submit(task)
    task.done.wait()
    scheduler.stop()
    assert isinstance(task.error, ServingError)
    assert (task.error.code, task.error.text) == (
        "RESOURCE_EXHAUSTED",
        "Run() timeout exceeded while waiting in batching queue",
    )


def test_scheduler_hands_a_failure_to_every_task():
    def fail(batch):
        raise ServingError("INTERNAL", "broken")

    scheduler = BatchScheduler(Batching(2, 0, 10, 1), fail)
    tasks = [Task(None, 1, float("inf")) for _ in range(2)]
    for task in tasks:
        scheduler.submit(task)
        task.done.wait()
    scheduler.stop()
    assert all(str(task.error) == "broken" for task in tasks)


def wait_until(reached):
    while not reached():
        time.sleep(0.001)


def test_slots_are_granted_in_order_of_arrival_and_time_counts_from_then():
    executor, order, gates = Executor(Device(slots=2, fixed_s=1.0), 10), [], {}

    def work(number):
        order.append((number, executor.place))
        gates[number].wait()

    for number in range(5):
        gates[number] = threading.Event()
        executor.submit(work, number)
    wait_until(lambda: len(order) == 2)
    time.sleep(0.02)
    assert [number for number, _ in order] == [0, 1], "two slots, the others wait"
    for number in range(5):
        gates[number].set()
        wait_until(lambda done=number + 3: len(order) >= min(done, 5))
    assert [number for number, _ in order] == [0, 1, 2, 3, 4]
    places = [place for _, place in order]
    assert all(place.arrived <= place.started for place in places)
    assert places[2].started - places[2].arrived >= 0.02


def test_slot_is_given_back_once_and_work_after_it_needs_none():
    executor, released, gate, seen = Executor(None, 10), threading.Event(), threading.Event(), []

    def answers_after_its_slot():
        executor.release()
        assert executor.place is None
        released.set()
        gate.wait()

    executor.submit(answers_after_its_slot)
    released.wait()
    assert executor.call(lambda: seen.append(executor.place.refused)) is None
    gate.set()
    assert executor.call(lambda: 7) == 7
    assert seen == [False]


def test_more_calls_than_there_is_room_for_are_told_at_once():
    executor, gate = Executor(None, 2), threading.Event()
    executor.submit(gate.wait)
    executor.submit(gate.wait)
    assert executor.call(lambda: executor.place.refused) is True
    gate.set()
    wait_until(lambda: executor._left == 2)
    assert executor.call(lambda: executor.place.refused) is False


def test_failure_of_a_call_reaches_its_caller_and_frees_the_slot():
    executor = Executor(None, 2)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            executor.call(lambda: 1 / 0)
    assert executor.call(lambda: 1) == 1


def test_emulated_exponential_device_has_its_mean_and_variance(monkeypatch):
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    executor = Executor(Device(fixed_s=1.0, per_example_s=0.5, law="exponential"), 1)
    for _ in range(4000):
        executor.pad(time.perf_counter(), 2)
    assert np.mean(slept) == pytest.approx(2.0, rel=0.06)
    assert np.var(slept) / np.mean(slept) ** 2 == pytest.approx(1.0, rel=0.15)


def test_batching_text_form_and_its_defaults():
    text = "# a comment\nmax_batch_size { value: 8 }\nallowed_batch_sizes: 4 allowed_batch_sizes: 8"
    parsed = Batching.parse(text)
    assert (parsed.max_batch_size, parsed.batch_timeout_micros, parsed.max_enqueued_batches) == (
        8,
        0,
        10,
    )
    assert Batching.parse(parsed.to_text()) == parsed
    assert [parsed.padded(size) for size in (1, 4, 5)] == [4, 4, 8]
    assert Batching.parse("").max_batch_size == 1000


@pytest.mark.parametrize(
    "text, message",
    [
        ("max_batch_size: 8", "not a batching parameters file"),
        ("nonsense { value: 1 }", "not a batching parameters file"),
        ("max_batch_size { value: 0 }", "max_batch_size must be at least 1"),
        ("max_batch_size { value: 8 } allowed_batch_sizes: 4", "must increase and end with"),
    ],
)
def test_wrong_batching_text_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        Batching.parse(text)


@pytest.mark.parametrize("enable", [True, False])
def test_monitoring_text_form_and_its_defaults(enable):
    given = Monitoring(enable, "/metrics")
    assert Monitoring.parse(given.to_text()) == given
    assert Monitoring.parse("prometheus_config { enable: true }") == Monitoring()
    assert not Monitoring.parse("").enable


@pytest.mark.parametrize(
    "text, message",
    [
        ("prometheus { enable: true }", "not a monitoring config file: .* no field named"),
        ("prometheus_config { enable: 7 }", "not a monitoring config file"),
        ('prometheus_config { path: "metrics" }', "must begin with /, got 'metrics'"),
    ],
)
def test_wrong_monitoring_text_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        Monitoring.parse(text)
