"""Acts by name: how one is added, and what it gives the simulation to do."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stageline_engine.testing.simulation.choices import Choices
from stageline_engine.testing.simulation.workflows import NAMESPACES
from stageline_engine.testing.simulation.world import Send

if TYPE_CHECKING:
    from stageline_engine.testing.simulation.history import History


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One call that changes something.

    Attributes:
        send: Makes the call. What it returns is compared between deployments.
        learn: Takes the answer in, and checks it against what the world was told before.
        namespace: Whose call it is.
        recover: What its caller does when the answer was lost after the commit; None where nobody could know.
        repeatable: Whether it may be sent twice, the second answer being learnt as well.
        commits: How many transactions it may take; all but the first leave the rows as they are.
    """

    send: Send[Any]
    learn: Callable[[Any], Awaitable[None]]
    namespace: str = NAMESPACES[0]
    recover: Callable[[], Awaitable[None]] | None = None
    repeatable: bool = False
    commits: int = 1


Act = Callable[["History", Choices], Awaitable[Move | None]]

ACTS: dict[str, tuple[Act, int]] = {}
"""Each act by its name, with its weight."""


def act(weight: int = 2) -> Callable[[Act], Act]:
    """Adds an act to the simulation.

    Args:
        weight: How often it happens, compared with others.
    """

    def add(chosen: Act) -> Act:
        ACTS[chosen.__name__] = (chosen, weight)
        return chosen

    return add
