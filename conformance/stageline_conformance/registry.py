"""The cases: each holds a worker to some rules of `docs/worker-protocol.md`."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from stageline_conformance.bench import Bench

Play = Callable[[Bench], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Case:
    """One case.

    Attributes:
        name: Its name, such as `a-frame-twice-breaks-the-framing`.
        group: What it is about: the module that it is in.
        title: What the worker must do, in a sentence.
        rules: The rules that it holds the worker to.
        play: The script.
        is_fresh: Whether it needs a worker that has just been started.
        needs_stage: An optional stage without which it is skipped; empty where it needs none.
    """

    name: str
    group: str
    title: str
    rules: tuple[str, ...]
    play: Play
    is_fresh: bool = False
    needs_stage: str = ""


CASES: list[Case] = []
"""All cases, in the order of their modules; filled by `stageline_conformance.cases`."""


def case(*rules: str, fresh: bool = False, needs_stage: str = "") -> Callable[[Play], Play]:
    """Make a case of a script: its name becomes the case's, the first line of its docstring the title.

    Args:
        *rules: The rules that it holds the worker to, such as `R51`.
        fresh: Whether it needs a worker that has just been started.
        needs_stage: An optional stage that it needs.
    """

    def add(play: Play) -> Play:
        name = getattr(play, "__name__", "").replace("_", "-")
        group = play.__module__.rpartition(".")[2]
        title = (play.__doc__ or "").strip().splitlines()[0]
        CASES.append(Case(name, group, title, rules, play, fresh, needs_stage))
        return play

    return add
