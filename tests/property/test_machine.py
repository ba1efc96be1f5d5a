"""The simulator's acts as a stateful Hypothesis machine: it searches otherwise than seeds do, and makes failures small."""

import asyncio
from contextlib import AsyncExitStack
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from stageline_engine.testing.simulation import memory_backend
from stageline_engine.testing.simulation.acts import ACTS
from stageline_engine.testing.simulation.history import History
from stageline_engine.testing.simulation.script import Manner, begin, play
from stageline_engine.testing.simulation.world import open_world

ONE = st.sampled_from([manner for manner in Manner if manner is not Manner.AT_ONCE])
SEVERAL = st.lists(st.sampled_from(sorted(ACTS)), min_size=2, max_size=5)


class Machine(RuleBasedStateMachine):
    """One rule for each act, and one for several at once."""

    @initialize()
    def begin(self) -> None:
        self.runner, self.stack = asyncio.Runner(), AsyncExitStack()
        self.history = History(self.runner.run(open_world([memory_backend], self.stack)))
        self.runner.run(begin(self.history))

    @rule(names=SEVERAL, random=st.randoms(use_true_random=False))
    def several_at_once(self, names: list[str], random: Random) -> None:
        self.runner.run(play(self.history, Manner.AT_ONCE, names, random))

    def teardown(self) -> None:
        if hasattr(self, "history"):
            with self.runner:
                self.runner.run(self.history.finish())
                self.runner.run(self.stack.aclose())


def _rule_of(name: str) -> Any:
    def one(self: Machine, manner: Manner, random: Random) -> None:
        self.runner.run(play(self.history, manner, [name], random))

    one.__name__ = name
    return rule(manner=ONE, random=st.randoms(use_true_random=False))(one)


for _name in ACTS:
    setattr(Machine, _name, _rule_of(_name))

TestMachine = pytest.mark.timeout(300)(Machine.TestCase)
TestMachine.settings = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
