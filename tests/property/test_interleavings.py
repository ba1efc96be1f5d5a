"""Many commands at once, interleaved in any way: nothing contradicts itself, and nothing happens twice."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from stageline_engine.commands import Disposition, FlushOutbox, JobOffer, RunCreation
from stageline_engine.limits import SESSION_TIMEOUT
from stageline_engine.testing import CollectingSink, Scene
from stageline_engine.testing.scene import completed, failed
from tests.property import invariants
from tests.property.interleaved import InterleavedPersistence
from tests.property.world import WORKFLOWS
from tests.unit.engine.memory import in_memory

Act = Callable[[Scene], Awaitable[Any]]


class Stage:
    """A run of each workflow, some jobs of them leased to a session that has died and some to one that lives."""

    def __init__(self, turns: list[int]) -> None:
        backend = in_memory()
        self.sink = CollectingSink()
        self.calm = Scene(backend, sink=self.sink)
        interleaved = InterleavedPersistence(backend.persistence, turns)
        self.scene = Scene(replace(backend, persistence=interleaved), sink=self.sink, seed=1)

    async def prepare(self) -> None:
        """Sets it up, in calm."""
        self.workflows = {definition.name: await self.calm.register(definition) for definition in WORKFLOWS}
        self.runs = {await self.calm.create(name): name for name in self.workflows}
        dead = await self.calm.open_session()
        self.offers = list(await self.calm.lease(dead, *self.workflows.values(), slots=1))
        self.calm.clock.advance(SESSION_TIMEOUT)
        self.scene.clock.set(self.calm.clock.now())
        self.living = await self.calm.open_session()
        self.offers += await self.calm.lease(self.living, *self.workflows.values(), slots=1)

    def acts(self, kind: str, pick: int) -> Act:
        """One command, by the name of its kind."""
        offer: JobOffer = self.offers[pick % len(self.offers)]
        run_id: UUID = list(self.runs)[pick % len(self.runs)]
        kinds: dict[str, Act] = {
            "complete": lambda scene: scene.report(offer, completed(pick)),
            "fail": lambda scene: scene.report(offer, failed()),
            "lease": lambda scene: scene.lease(self.living, *self.workflows.values(), slots=1 + pick % 3),
            "reap": lambda scene: scene.reap(),
            "promote": lambda scene: scene.promote(),
            "cancel": lambda scene: scene.cancel(run_id),
            "create": lambda scene: scene.try_create("line", idempotency_key=f"key-{pick % 2}"),
            "flush": lambda scene: scene.kernel.dispatch(FlushOutbox(1 + pick % 5)),
        }
        return kinds[kind]


KINDS = ("complete", "fail", "lease", "lease", "reap", "promote", "cancel", "create", "flush")
COMMANDS = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 9)), min_size=2, max_size=10)
TURNS = st.lists(st.integers(0, 4), min_size=1, max_size=12)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(chosen=COMMANDS, turns=TURNS)
def test_commands_at_once_tell_one_story(chosen: list[tuple[str, int]], turns: list[int]) -> None:
    asyncio.run(_at_once(chosen, turns))


async def _at_once(chosen: list[tuple[str, int]], turns: list[int]) -> None:
    stage = Stage(turns)
    await stage.prepare()
    acts = [stage.acts(kind, pick) for kind, pick in chosen]
    answers = await asyncio.gather(*[act(stage.scene) for act in acts])
    _check_answers(stage, chosen, answers)
    made = {answer.run_id for answer in answers if isinstance(answer, RunCreation)}
    for run_id, name in {**stage.runs, **dict.fromkeys(made, "line")}.items():
        await invariants.check_run(stage.calm, run_id, stage.workflows[name])
        invariants.check_published(stage.sink.of_run(run_id))
        published = [event.sequence for event in stage.sink.of_run(run_id)]
        assert len(published) == len(set(published))


def _check_answers(stage: Stage, chosen: Sequence[tuple[str, int]], answers: Sequence[Any]) -> None:
    recorded = Counter(
        pick % len(stage.offers)
        for (kind, pick), answer in zip(chosen, answers, strict=True)
        if kind in {"complete", "fail"} and answer.disposition is Disposition.RECORDED
    )
    assert all(count == 1 for count in recorded.values())
    cancelled = Counter(
        pick % len(stage.runs)
        for (kind, pick), answer in zip(chosen, answers, strict=True)
        if kind == "cancel" and answer.cancelled
    )
    assert all(count == 1 for count in cancelled.values())
    offers = [
        (offer.lease.run_id, offer.stage_id, offer.delivery, offer.attempt)
        for (kind, _), answer in zip(chosen, answers, strict=True)
        if kind == "lease"
        for offer in answer
    ]
    assert len(offers) == len(set(offers))
    created: dict[int, set[UUID]] = {}
    for (kind, pick), answer in zip(chosen, answers, strict=True):
        if kind == "create" and isinstance(answer, RunCreation):
            created.setdefault(pick % 2, set()).add(answer.run_id)
    assert all(len(run_ids) == 1 for run_ids in created.values())
