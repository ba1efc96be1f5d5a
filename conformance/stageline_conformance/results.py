"""What came of the cases, for people and for programs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Verdict = Literal["passed", "failed", "skipped"]

PROTOCOL = "stageline.v1"


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one case.

    Attributes:
        name: The case.
        group: What it is about.
        title: What the worker must do.
        rules: The rules of `docs/worker-protocol.md`.
        verdict: Whether the worker did it.
        message: What it did instead, or why the case was skipped; empty for a case that passed.
        seconds: How long it took.
        worker_log: What the worker printed last, where the case failed.
    """

    name: str
    group: str
    title: str
    rules: tuple[str, ...]
    verdict: Verdict
    message: str
    seconds: float
    worker_log: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What came of all cases.

    Attributes:
        command: The command that started the worker.
        worker: What the worker said of itself: SDK, version and language.
        results: One for each case, in the suite's order.
        seconds: How long all took together.
    """

    command: str
    worker: str
    results: Sequence[Result]
    seconds: float

    @property
    def is_conformant(self) -> bool:
        """Whether no case failed."""
        return not self.named("failed")

    def named(self, verdict: Verdict) -> list[Result]:
        """Return the results of one kind."""
        return [result for result in self.results if result.verdict == verdict]

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "protocol": PROTOCOL,
            "command": self.command,
            "worker": self.worker,
            "conformant": self.is_conformant,
            "passed_count": len(self.named("passed")),
            "failed_count": len(self.named("failed")),
            "skipped_count": len(self.named("skipped")),
            "seconds": round(self.seconds, 3),
            "cases": [_case_as_json(result) for result in self.results],
        }


def _case_as_json(result: Result) -> dict[str, Any]:
    return {
        "name": result.name,
        "group": result.group,
        "title": result.title,
        "rules": list(result.rules),
        "verdict": result.verdict,
        "message": result.message,
        "worker_log": result.worker_log,
        "seconds": round(result.seconds, 3),
    }
