"""Whether memory grows: a slope over samples, robust against the single steps in which allocators take memory."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import NamedTuple


class Sample(NamedTuple):
    """Memory at one moment.

    Attributes:
        stages: That had been done by then.
        resident_kib: What the process held.
    """

    stages: int
    resident_kib: int


def growth_kib(samples: Sequence[Sample]) -> float:
    """Returns the growth in KiB for each 1,000 stages: the median slope of all pairs of samples (Theil and Sen).

    Raises:
        ValueError: There are fewer than two samples.
    """
    if len(samples) < 2:
        raise ValueError(f"a slope needs two samples, got {len(samples)}")
    slopes = [
        (later.resident_kib - earlier.resident_kib) / (later.stages - earlier.stages)
        for earlier, later in combinations(samples, 2)
    ]
    return 1000 * median(slopes)


def resident_kib(pid: int) -> int:
    """The memory that a process holds now."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise ProcessLookupError(f"process {pid} holds no memory: it has ended")
