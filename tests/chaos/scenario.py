"""What a scenario is: a promise, a play that breaks things, and two sizes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.chaos.arena import Arena

Figures = Mapping[str, int | float]
"""What a scenario counted, by name."""


@dataclass(frozen=True)
class Scenario:
    """One way to break things.

    Attributes:
        number: As in the list of docs/reliability.md.
        name: For the command line.
        title: What is done, in a line.
        play: Does it in an arena and checks the promise; takes the arena and one of the sizes.
        short: The size for CI: seconds.
        long: The size of `make chaos`: minutes at most.
    """

    number: int
    name: str
    title: str
    play: Callable[[Arena, Any], Figures]
    short: Any
    long: Any
