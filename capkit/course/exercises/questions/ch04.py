"""Questions of chapter 04: what a training takes, on how many workers, and when to stop it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import binomtest

from capkit.course.exercises.checks import question
from capkit.course.exercises.verdicts import Choice, Function, Number, Properties
from capkit.training import (
    Scaling,
    daly_interval_s,
    fit_epoch_time,
    gradient_bytes,
    predict_epoch_s,
    young_interval_s,
)


@question(
    "04.1",
    "A job stops when any of its workers fails. How often does that happen?",
    "Young: the root of 2 x seconds a checkpoint x seconds between failures of the job.",
    "`training.young_interval_s(checkpoint_s, mtbf_s)`, with a worker's time between failures over the number of workers.",
)
def minutes_between_checkpoints(checkpoint_s: float, worker_mtbf_h: float, workers: int) -> Number:
    """Minutes of work between two checkpoints, by Young's rule."""
    one_s = 3600.0 * worker_mtbf_h
    job_s = one_s / workers
    return Number(
        young_interval_s(checkpoint_s, job_s) / 60.0,
        "minutes",
        slips={
            "That is for a job of one worker.": young_interval_s(checkpoint_s, one_s) / 60.0,
            "More workers fail more often: divide, do not multiply.": young_interval_s(
                checkpoint_s, one_s * workers
            )
            / 60.0,
            "Divide the time between failures by the workers, before the root is taken.": young_interval_s(
                checkpoint_s, one_s
            )
            / workers
            / 60.0,
            "The 2 under the root is missing.": math.sqrt(checkpoint_s * job_s) / 60.0,
            "That is Daly's interval; Young's is asked for.": daly_interval_s(checkpoint_s, job_s)
            / 60.0,
            "Hours and seconds stand under one root.": young_interval_s(
                checkpoint_s, worker_mtbf_h / workers
            )
            / 60.0,
            "That is the time between two failures.": job_s / 60.0,
        },
    )


@question(
    "04.2",
    "What takes the same time in every step, and how many steps has an epoch?",
    "Steps x fixed + images x per image, at both batch sizes: two equations.",
    "`training.fit_epoch_time(sizes, epoch_s, images)` solves them, `training.predict_epoch_s(...)` is the rest.",
)
def epoch_between(
    batch_sizes: ArrayLike, epoch_s: ArrayLike, images: int, batch_size: int
) -> Number:
    """Seconds of an epoch at a batch size between two that were measured."""
    (small, large), (small_s, large_s) = np.asarray(batch_sizes), np.asarray(epoch_s, dtype=float)
    fixed_s, per_image_s = fit_epoch_time(batch_sizes, epoch_s, images)
    share = (batch_size - small) / (large - small)
    return Number(
        float(predict_epoch_s(fixed_s, per_image_s, images, batch_size)),
        "s",
        slips={
            "That is a line through the epochs; what grows in a line is the time of a step.": small_s
            + share * (large_s - small_s),
            "That is the rate of the larger batch; with smaller ones the fixed part comes more often.": large_s,
            "That is the rate of the smaller batch; with larger ones the fixed part comes less often.": small_s,
            "That is one step; how many has an epoch?": fixed_s + per_image_s * batch_size,
            "That is the fixed part alone.": math.ceil(images / batch_size) * fixed_s,
            "The fixed part comes with every step, not once.": fixed_s + images * per_image_s,
            "That is without the fixed part.": images * per_image_s,
        },
    )


@question(
    "04.3",
    "Two things change: what an epoch takes, and how many of them are needed.",
    "At each batch size: the first epoch whose mean accuracy reaches the goal, times the seconds of an epoch.",
    "Then the larger batch over the smaller one. `(curves >= goal).idxmax()` finds the epochs.",
)
def time_to_accuracy(
    curves: pd.DataFrame, epoch_s: pd.Series, goal: float, small: int, large: int
) -> Number:
    """Time to a goal with the larger batch, over that with the smaller one."""
    first = (curves >= goal).idxmax()
    passes, seconds = first[large] / first[small], epoch_s[large] / epoch_s[small]
    return Number(
        float(passes * seconds),
        "times",
        slips={
            "That is an epoch over an epoch; does the goal take as many of them?": float(seconds),
            "That is the number of epochs; they do not take the same time.": float(passes),
            "That is the smaller batch over the larger one.": float(1.0 / (passes * seconds)),
            "More epochs take longer, not shorter.": float(seconds / passes),
        },
    )


@question(
    "04.4",
    "What do the workers do between the gradients and the update?",
    "On a ring of n there are 2 (n - 1) turns, each with its latency, and each worker sends 2 (n - 1) / n of the gradient's bytes.",
    "One worker's step over that of n: fixed part, its share of the images, messages.",
)
def speedup_with_messages() -> Function:
    """How many times faster a step of n workers on a ring is."""

    def with_mistake(
        *,
        turns: Callable[[int], float] = lambda n: 2.0 * (n - 1),
        sent: Callable[[int], float] = lambda n: 2.0 * (n - 1) / n,
        fixed_for: Callable[[int], float] = lambda n: 1.0,
    ) -> Callable[..., float]:
        def speedup(
            n: int, images: int, fixed_s: float, image_s: float, latency_s: float, rate: float
        ) -> float:
            message_s = turns(n) * latency_s + sent(n) * gradient_bytes() / rate
            together_s = fixed_s / fixed_for(n) + image_s * images / n + message_s
            return (fixed_s + image_s * images) / together_s

        return speedup

    one, two = (0.003, 9e-5, 0.0008, 5e8), (0.02, 2e-5, 0.0002, 1e8)
    return Function(
        lambda workers, images, fixed_s, image_s, latency_s, rate: float(
            Scaling(fixed_s, image_s, gradient_bytes(), latency_s, rate).speedup(workers, images)
        ),
        [(2, 4096, *one), (16, 4096, *one), (8, 512, *two), (200, 4096, *one)],
        "times",
        slips={
            "That is Amdahl's law: the messages are still free.": with_mistake(
                turns=lambda n: 0.0, sent=lambda n: 0.0
            ),
            "The bytes are in it; each turn of the ring also has its latency.": with_mistake(
                turns=lambda n: 0.0
            ),
            "The latency is in it; the bytes take time as well.": with_mistake(sent=lambda n: 0.0),
            "A ring has more turns than one, and each has its latency.": with_mistake(
                turns=lambda n: 1.0
            ),
            "In a turn a worker sends one part of the gradient, not all of it.": with_mistake(
                sent=lambda n: 2.0 * (n - 1)
            ),
            "The fixed part is not shared: each worker makes its own calls and its own update.": with_mistake(
                fixed_for=lambda n: n
            ),
            "That is still as if everything were shared and the messages were free.": lambda n, *_: (
                float(n)
            ),
        },
    )


@question(
    "04.5",
    "Points of accuracy bring money, epochs cost money. Where is the difference largest?",
    "A point is 0.01 of the accuracy. Worth of each row: 100 x accuracy x USD a point, less epochs x USD an epoch.",
)
def epochs_that_pay(accuracy: pd.Series, usd_epoch: float, usd_point: float) -> Number:
    """Number of epochs with the largest worth of accuracy less cost of epochs."""
    passes = accuracy.index.to_numpy()

    def best(points: pd.Series) -> float:
        return float(passes[int(np.argmax(usd_point * points.to_numpy() - usd_epoch * passes))])

    right = best(100 * accuracy)
    return Number(
        right,
        "epochs",
        tolerance=0.0,
        slips={
            "That is the highest accuracy, whatever it costs.": float(accuracy.idxmax()),
            "A share is not a point: 0.01 is one point.": best(accuracy),
            "Epochs are counted from 1.": right - 1.0,
        },
    )


@question(
    "04.6",
    "Does a step get shorter with every worker? Look at the messages.",
    "Hours = steps x `scaling.step_s(workers, batch_size)` / 3600.",
    "Begin with one worker, and add one until the deadline is met.",
)
def workers_for_the_deadline(
    scaling: Scaling, batch_size: int, steps: int, deadline_h: float
) -> Properties:
    """The fewest workers that finish a training in time."""

    def late(workers: int) -> bool:
        if not 1 <= workers <= batch_size:
            return True
        return bool(steps * scaling.step_s(workers, batch_size) / 3600.0 > deadline_h)

    return Properties(
        {
            "A number of workers is a whole number.": lambda n: n == int(n),
            "So many are not done in time: too few to share the work, or so many that they wait for messages.": lambda n: (
                not late(int(n))
            ),
            "One worker fewer would be in time as well.": lambda n: late(int(n) - 1),
        }
    )


@question(
    "04.7",
    "Near 0 or 1 a share cannot scatter to both sides alike. Which interval of the chapter knows that?",
    "`binomtest(right, tested).proportion_ci(0.95, method='wilson')`",
)
def lower_limit(right: int, tested: int) -> Number:
    """Lower end of the 95 % Wilson interval of an accuracy, in per cent."""
    share, wilson = right / tested, binomtest(right, tested).proportion_ci(0.95, method="wilson")
    width = 1.959964 * math.sqrt(share * (1.0 - share) / tested)
    exact = binomtest(right, tested).proportion_ci(0.95)
    return Number(
        100.0 * wilson.low,
        "%",
        tolerance=0.001,
        slips={
            "That is p - 1.96 sqrt(p (1 - p) / n): it has the same width on both sides.": 100.0
            * (share - width),
            "That is the exact interval of Clopper and Pearson; Wilson's is asked for.": 100.0
            * exact.low,
            "That is the upper end.": 100.0 * wilson.high,
            "That is the accuracy itself.": 100.0 * share,
        },
    )


@question(
    "04.8",
    "Which of the columns says how many bytes a layer moves?",
    "The pooling has no operations to count, and takes its time all the same.",
)
def why_counting_misses() -> Choice:
    """Why the share of the time is not the share of the operations."""
    return Choice(
        "bytes",
        {
            "count": "The count agrees with Keras in its parameters, and chapter 03 finds the same operations by hand.",
            "profiler": "A profiler slows a step down; but that gives no good part of it to the pooling, which has almost no operations.",
            "threads": "More threads shorten all layers; they do not give the pooling an operation.",
        },
    )
