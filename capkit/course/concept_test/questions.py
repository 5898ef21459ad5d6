"""The ten questions of the concept test. A wrong option is a misconception, in the words of whoever holds it.

They ask for understanding and need no arithmetic to speak of. Every right answer is computed by the package in
``tests/test_concept_test.py``. The order of questions and options is part of the test: answers are kept as letters.
"""

from __future__ import annotations

from dataclasses import dataclass

LETTERS = "abcd"


@dataclass(frozen=True)
class Option:
    """One answer to choose; ``belief`` is the misconception behind it, empty for the right one."""

    text: str
    belief: str = ""


@dataclass(frozen=True)
class Question:
    """One question: its topic, the chapter that answers it, its text and its four options, a to d."""

    topic: str
    chapter: str
    text: str
    options: tuple[Option, Option, Option, Option]

    @property
    def right(self) -> str:
        """Letter of the right option.

        >>> [question.right for question in QUESTIONS]
        ['c', 'd', 'b', 'b', 'a', 'b', 'd', 'c', 'c', 'a']
        """
        return next(x for x, option in zip(LETTERS, self.options, strict=True) if not option.belief)

    def belief(self, letter: str) -> str:
        """The misconception behind a letter; empty for the right one."""
        return self.options[LETTERS.index(letter)].belief


QUESTIONS = (
    Question(
        "percentiles",
        "02",
        "Two servers share the requests, half each. The 99th percentile (p99) of the latency is 10 ms on the "
        "first server and 100 ms on the second. What is the p99 of all requests together?",
        (
            Option("55 ms.", "Percentiles can be averaged."),
            Option("110 ms.", "Percentiles can be added."),
            Option("Something from 10 ms to 100 ms; more cannot be said without the requests."),
            Option("100 ms.", "The worst part's percentile is the percentile of the whole."),
        ),
    ),
    Question(
        "utilisation",
        "02",
        "Requests come at random times to one server, which is busy for 90 % of the time. The load grows until it "
        "is busy for 95 % of the time. What happens to the mean wait?",
        (
            Option("It grows by some 5 %, like the load.", "Waits grow in proportion to the load."),
            Option("Nothing: there is capacity left.", "Below full utilisation nobody waits."),
            Option(
                "It grows without end: above 90 % no server keeps up.",
                "A queue is stable only below some fixed utilisation such as 80 or 90 %.",
            ),
            Option("It about doubles."),
        ),
    ),
    Question(
        "pooling",
        "06",
        "Eight servers work in two groups of four. Each group has its own line and half of the requests. Now all "
        "eight take their requests from one line. Requests and service times stay as they are. What happens to the "
        "waits?",
        (
            Option(
                "Nothing: every server is as busy as before.",
                "Equal utilisation means equal waits.",
            ),
            Option("They get shorter."),
            Option(
                "They get longer: there are twice as many requests in the line.",
                "A line with more requests in it is a slower line.",
            ),
            Option(
                "The mean stays, but the slowest requests get slower.",
                "In a shared line one long request holds up everybody.",
            ),
        ),
    ),
    Question(
        "coordinated omission",
        "05",
        "A load test has one client, which sends its next request when the last one is answered. In a test of "
        "100 s every answer takes 10 ms, except a single one that takes 10 s. The test reports a p99 of 10 ms. "
        "Users come at times of their own, ten a second. Which p99 do they see?",
        (
            Option(
                "10 ms too: it is the same server.", "A closed loop shows the latency of the users."
            ),
            Option("Several seconds."),
            Option(
                "A little over 10 ms: one slow answer among so many.",
                "One slow answer is one slow request; nobody waits behind it.",
            ),
            Option("10 s, like everybody.", "A stall reaches all users, whenever they come."),
        ),
    ),
    Question(
        "drift and CV2",
        "06",
        "Two logs hold exactly the same gaps between their requests, in another order. Servers and service times "
        "are the same. What can be said of the mean waits?",
        (
            Option("One can be many times the other."),
            Option(
                "They are equal: mean and variance of the gaps are the same.",
                "Mean and CV2 of the gaps decide the wait.",
            ),
            Option(
                "They are equal; only the slowest requests differ.",
                "The order of the requests matters for the tail alone.",
            ),
            Option(
                "They differ by chance, by some per cent.", "The order of the requests is noise."
            ),
        ),
    ),
    Question(
        "stationarity",
        "02",
        "Over an hour a pool of servers is busy for 65 % of the time. In ten minutes of that hour more requests "
        "come than it can answer. How long do the requests wait?",
        (
            Option(
                "About as long as a queueing formula says for 65 %.",
                "A mean utilisation below 100 % is enough.",
            ),
            Option("Much longer, in these ten minutes and for some time after them."),
            Option(
                "Much longer in these ten minutes; right after them as the formula says.",
                "An overload is over when fewer requests come.",
            ),
            Option(
                "Less than the formula says.",
                "Formulas are for the worst case, so they err upwards.",
            ),
        ),
    ),
    Question(
        "forecast quantile",
        "07",
        "A forecast is neither too high nor too low on average. For every hour, just as many servers are ordered as "
        "the mean of the forecast needs. How often are there too few?",
        (
            Option("Hardly ever.", "A forecast without bias is a plan."),
            Option("In the busiest hours only.", "Only a peak can be short of capacity."),
            Option(
                "In one hour of twenty, as the forecast has a 95 % interval.",
                "The level of an interval says how safe the mean is.",
            ),
            Option("In about every second hour."),
        ),
    ),
    Question(
        "whole machines",
        "08",
        "A fleet must carry 100 requests/s. A large machine carries 45 for 1.80 USD/h, a small one 10 for "
        "0.50 USD/h. If parts of machines could be bought, 2.22 large ones would do, for 4.00 USD/h. Machines come "
        "whole. Which fleet is the cheapest that carries the load?",
        (
            Option("3 large ones.", "Rounding the solution in fractions up gives the best fleet."),
            Option(
                "2 large ones.", "Rounding the solution in fractions to the nearest is allowed."
            ),
            Option("2 large ones and 1 small one."),
            Option("10 small ones.", "Small machines waste nothing, so they are the cheapest."),
        ),
    ),
    Question(
        "a zone lost",
        "09",
        "In the busiest hour 30 servers are needed. They stand in three zones, as many in each. Any one zone may "
        "fail, and the service must not suffer. How many servers are needed in all?",
        (
            Option("31.", "N+1 is one spare server."),
            Option("40.", "What must be added is one zone's part of what is needed."),
            Option("45."),
            Option("60.", "To survive a failure everything must be there twice."),
        ),
    ),
    Question(
        "autoscaling and start-up",
        "10",
        "An autoscaler watches the CPU and aims at 60 %. A new server answers two minutes after it was ordered. At "
        "one moment the demand becomes four times as high. What keeps requests from being late?",
        (
            Option("Servers that are there before: spare ones, or ones ordered ahead."),
            Option(
                "An autoscaler that looks more often.",
                "A quicker decision replaces servers that are not there yet.",
            ),
            Option(
                "Nothing more is needed: at its first look it orders all that is missing.",
                "A full CPU tells how much is missing.",
            ),
            Option(
                "A higher aim, so that the servers are used better.",
                "A fleet that is used better is better prepared.",
            ),
        ),
    ),
)
