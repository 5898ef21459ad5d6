"""Tasks through `dask.distributed`: its scheduler, its workers, its retries.

A worker that dies is Dask's to notice: its tasks go to another. A task whose workers died several times
(``distributed.scheduler.allowed-failures``), or that still raises after its retries, is a row with the error.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from capkit.study.scenario import Task

#: tasks that the scheduler holds at once: enough for any cluster, and memory does not grow with the study
WINDOW = 2000
RETRIES = 2
KEEP_S = 5.0
#: what keeps Dask's workers at the scenarios: no profile of them, and memory that is kept for the next array
LEAN = {
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": 2**27,
}
INSTALL = "a study needs dask.distributed and pyarrow: python -m pip install 'capkit[sweep]'"

Rows = Iterator[dict[str, Any]]


def failed(task: Task, error: BaseException) -> dict[str, Any]:
    """The row of a scenario that nothing could be made of."""
    text = f"{type(error).__name__}: {error}"
    return {"scenario": task.number, **task.parameters, "error": text, "notebook": ""}


@contextmanager
def cluster(scheduler: str = "", workers: int = 0) -> Iterator[Any]:
    """A Dask client: of the scheduler at an address, or of a local cluster, one worker a core.

    Parameters
    ----------
    scheduler : str
        Such as ``tcp://host:8786``, or ``tls://host:8786`` with the certificates that Dask's own
        configuration names; empty starts workers on this machine, which only it can reach.
    workers : int
        How many of those; 0 for one a core.

    Raises
    ------
    ValueError
        Nothing answers at the address, no worker joins within a minute, fewer than 0 workers, or Dask is
        not installed.
    """
    if workers < 0:
        raise ValueError(f"workers is at least 1, or 0 for one a core, got {workers}")
    try:
        import dask
        import distributed
    except ImportError as error:
        raise ValueError(INSTALL) from error
    from distributed.core import Status
    from tornado.ioloop import PeriodicCallback

    from capkit.telemetry import machine

    if scheduler:
        try:
            client = distributed.Client(scheduler, timeout="15s")
        except (OSError, ValueError) as error:
            raise ValueError(f"no Dask scheduler answers at {scheduler}: {error}") from error
        except TypeError as error:  # Dask's own for TLS without certificates
            raise ValueError(f"{scheduler} needs certificates: see docs/clusters.md") from error
        with client:
            try:
                client.wait_for_workers(1, timeout=60)
            except TimeoutError as error:
                raise ValueError(f"no worker has joined the scheduler at {scheduler}") from error
            yield client
        return
    count = workers or machine()["cores"]
    with dask.config.set(LEAN):
        local = distributed.LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.ERROR,
        )

    def replace_closed() -> None:
        for name, nanny in list(local.workers.items()):
            if nanny.status in (Status.closed, Status.failed):
                del local.workers[name]
        local.scale(count)

    # Dask restarts a worker that dies, but gives up on one that dies while it starts.
    keep = PeriodicCallback(replace_closed, 1000.0 * KEEP_S)
    local.periodic_callbacks["keep"] = keep  # stopped with the cluster
    try:
        with distributed.Client(local) as client:
            client.loop.add_callback(keep.start)
            yield client
    finally:
        try:
            local.close()
        except (RuntimeError, AssertionError) as error:  # a worker that dies now is no loss
            logging.getLogger(__name__).warning("the local cluster did not close well: %s", error)


def run_tasks(
    client: Any, function: Callable[[Task], dict[str, Any]], tasks: Iterable[Task], group: int = 1
) -> Rows:
    """The row of every task, as they are done; `ConnectionError` if the scheduler goes away.

    Tasks of milliseconds go to a worker by the group: the scheduler's own work is a few milliseconds each time.
    The tasks of a group that fails are done again, each by itself.
    """
    from distributed import as_completed

    waiting, running = iter(tasks), as_completed()
    named: dict[str, list[Task]] = {}

    def submit(part: list[Task]) -> None:
        future = client.submit(_rows, function, part, pure=False, retries=RETRIES)
        named[future.key] = part
        running.add(future)

    def fill() -> None:
        while len(named) < WINDOW // group and (part := list(itertools.islice(waiting, group))):
            submit(part)

    fill()
    for future in running:
        part = named.pop(future.key)
        if future.status == "finished":
            yield from future.result()
        elif future.status != "error":
            raise ConnectionError("the Dask scheduler went away")
        elif len(part) == 1:
            yield failed(part[0], future.exception())
        else:
            for task in part:
                submit([task])
        fill()


def _rows(function: Callable[[Task], dict[str, Any]], part: list[Task]) -> list[dict[str, Any]]:
    return [function(task) for task in part]


def run_serially(function: Callable[[Task], dict[str, Any]], tasks: Iterable[Task]) -> Rows:
    """The same in this process, one after the other."""
    for task in tasks:
        try:
            row = function(task)
        except Exception as error:
            row = failed(task, error)
        yield row
