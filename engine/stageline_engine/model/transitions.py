"""How a transition table is read.

A table maps (state, kind of event) to the next state. A pair that is absent is impossible: deciders never propose it,
and ``follow`` refuses it. Each of the three machines has its table beside its row: run.py, stage.py, job.py.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from stageline_engine.errors import InvariantError

State = TypeVar("State", bound=StrEnum)


def follow(table: Mapping[tuple[State, str], State], state: State, event: str) -> State:
    """Returns the state that follows.

    Args:
        table: The machine's transition table.
        state: The present state.
        event: The event's kind, such as ``StageCompleted``.

    Raises:
        InvariantError: The pair is not in the table. Nothing was changed.
    """
    try:
        return table[state, event]
    except KeyError:
        raise InvariantError(f"{event} cannot happen to a {type(state).__name__} {state.value}") from None
