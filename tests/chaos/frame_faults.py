"""Which frames are hurt, and how: a decision by chance from a seed, apart from the proxy that carries it out."""

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from stageline.v1 import worker_pb2

PING = "ping"
"""The kind of a frame without items."""

WORKER_KINDS = ("hello", "credits", "report", "progress", "logs", "usage", "annotation", "drain", PING)
SERVER_KINDS = (
    "welcome",
    "offer",
    "report_acknowledgement",
    "record_acknowledgement",
    "held_lease_verdict",
    PING,
)

Frame = worker_pb2.WorkerFrame | worker_pb2.ServerFrame


class Fault(StrEnum):
    """What can happen to a frame."""

    DROP = "dropped"
    DELAY = "delayed"
    DUPLICATE = "duplicated"


@dataclass
class FrameFaults:
    """Decides frame by frame.

    Attributes:
        chance: Where chance comes from.
        rate: Probability of each fault, for each kind of item in a frame.
        rates: The same for some kinds, instead.
        only: The faults that happen.
        delay_seconds_max: The longest delay.
        counts: What happened so far, by (kind, fault).
        passed: Frames that were looked at.
    """

    chance: random.Random
    rate: float = 0.0
    rates: Mapping[str, float] = field(default_factory=dict)
    only: tuple[Fault, ...] = tuple(Fault)
    delay_seconds_max: float = 0.3
    counts: Counter[tuple[str, Fault]] = field(default_factory=Counter)
    passed: int = 0

    def decide(self, frame: Frame) -> Fault | None:
        """Says what happens to a frame; None lets it pass."""
        self.passed += 1
        for kind in kinds_of(frame):
            rate = self.rates.get(kind, self.rate)
            drawn = self.chance.random()
            if drawn < rate * len(self.only):
                fault = self.only[int(drawn / rate)]
                self.counts[kind, fault] += 1
                return fault
        return None

    def delay_seconds(self) -> float:
        """How long a delayed frame, and all behind it, is held up."""
        return self.chance.uniform(0, self.delay_seconds_max)

    def calm(self) -> None:
        """Ends all faults."""
        self.rate, self.rates = 0.0, {}


def kinds_of(frame: Frame) -> list[str]:
    """The kinds of items in a frame, each once, in order of the alphabet."""
    return sorted({item.WhichOneof("item") or "unknown" for item in frame.items}) or [PING]
