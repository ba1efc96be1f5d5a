"""What is worse than the baseline is told, on the side that is bad for the figure."""

import pytest

from benchmarks.check import TOLERANCE, compare, figures

SPEED, MEMORY = "stages_per_second__limit", "server_peak_memory_mib"


@pytest.mark.parametrize(
    ("name", "factor", "is_worse"),
    [
        (SPEED, 1 - TOLERANCE / 2, False),
        (SPEED, 1 - TOLERANCE * 2, True),
        (SPEED, 2.0, False),
        (MEMORY, 1 + TOLERANCE / 2, False),
        (MEMORY, 1 + TOLERANCE * 2, True),
        (MEMORY, 0.5, False),
    ],
)
def test_only_the_bad_side_counts(name: str, factor: float, is_worse: bool) -> None:
    [finding] = compare({name: 100 * factor}, {name: 100.0})
    assert finding.is_worse is is_worse
    assert str(finding).startswith("WORSE" if is_worse else "ok")


def test_times_are_compared_with_the_limits_of_the_same_run() -> None:
    slow = {"server_cpu_seconds_per_1000_stages": 2.0, "limit_cpu_seconds_per_1000_stages": 0.5}
    fast = {"server_cpu_seconds_per_1000_stages": 1.0, "limit_cpu_seconds_per_1000_stages": 0.25}
    assert figures(slow) == figures(fast) != {}


def test_what_was_not_measured_is_not_compared() -> None:
    assert compare(figures({}), {SPEED: 1.0}) == []
