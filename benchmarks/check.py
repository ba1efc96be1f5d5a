"""`make bench-check`: measures, and compares what does not depend on the machine's speed with the committed baseline.

Times and rates differ between machines, and on one machine between hours. Compared are ratios that were taken in one run,
counts, bytes and memory; of CPU time what one process took over what another one took for the same stages.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

BASELINE = Path(__file__).with_name("baseline.json")
TOLERANCE = 0.15
OTHERS_MAX = 0.05
"""Share of the machine that others may use: beyond it, caches and batches differ by more than the tolerance."""


@dataclass(frozen=True)
class Ratio:
    """A figure that is compared.

    Attributes:
        numerator: A quantity of the report.
        denominator: Another one; none where the first is a ratio, a count or a size by itself.
        more_is_better: Else less is.
    """

    numerator: str
    denominator: str = ""
    more_is_better: bool = False

    @property
    def name(self) -> str:
        """As it is printed and kept."""
        return f"{self.numerator} / {self.denominator}" if self.denominator else self.numerator

    def of(self, report: Mapping[str, float]) -> float | None:
        """The figure; None where a quantity was not measured."""
        if self.numerator not in report or (self.denominator and self.denominator not in report):
            return None
        return report[self.numerator] / (report[self.denominator] if self.denominator else 1.0)


RATIOS = (
    Ratio("stages_per_second__limit", more_is_better=True),
    Ratio("server_cpu_seconds_per_1000_stages", "limit_cpu_seconds_per_1000_stages"),
    Ratio("worker_cpu_seconds_per_1000_stages", "limit_cpu_seconds_per_1000_stages"),
    Ratio("database_cpu_seconds_per_1000_stages", "limit_cpu_seconds_per_1000_stages"),
    Ratio("wal_bytes_per_stage"),
    Ratio("server_peak_memory_mib"),
    Ratio("worker_peak_memory_mib"),
)


@dataclass(frozen=True)
class Finding:
    """One figure beside the baseline's."""

    name: str
    now: float
    before: float
    is_worse: bool

    def __str__(self) -> str:
        """One line for people."""
        verdict = "WORSE" if self.is_worse else "ok"
        return (
            f"{verdict:5}  {self.name}: {self.now:.4g}, baseline {self.before:.4g} "
            f"({self.now / self.before - 1:+.0%})"
        )


def figures(report: Mapping[str, float]) -> dict[str, float]:
    """Returns what of a report's medians is compared."""
    found = {ratio.name: ratio.of(report) for ratio in RATIOS}
    return {name: value for name, value in found.items() if value is not None}


def compare(now: Mapping[str, float], before: Mapping[str, float]) -> list[Finding]:
    """Returns what was measured both times; worse is what is beyond the tolerance on the bad side."""
    findings = []
    for ratio in RATIOS:
        if ratio.name in now and ratio.name in before:
            new, old = now[ratio.name], before[ratio.name]
            worse = new < old * (1 - TOLERANCE) if ratio.more_is_better else new > old * (1 + TOLERANCE)
            findings.append(Finding(ratio.name, new, old, worse))
    return findings


def medians(file: Path) -> dict[str, float]:
    """Reads the medians of a result file."""
    samples = json.loads(file.read_text())["samples"]
    return {name: sample["median"] for name, sample in samples.items()}


def main() -> None:
    """Compares a result file with the baseline, or makes it the baseline; ends with 1 where anything is worse."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.check", description=__doc__)
    parser.add_argument("result", type=Path, help="what `python -m benchmarks --output` wrote")
    parser.add_argument("--accept", action="store_true", help="make it the baseline")
    options = parser.parse_args()
    measured = medians(options.result)
    now = figures(measured)
    others = measured.get("share_of_the_machine_used_by_others", 0.0)
    if others > OTHERS_MAX:
        print(
            f"Others used {others:.0%} of the machine meanwhile: what is found may be their doing. Try again."
        )
    if options.accept:
        BASELINE.write_text(json.dumps(now, indent=2) + "\n")
        return
    findings = compare(now, json.loads(BASELINE.read_text()))
    print(*findings, sep="\n")
    sys.exit(any(finding.is_worse for finding in findings))


if __name__ == "__main__":
    main()
