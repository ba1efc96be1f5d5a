"""What workers do: they come and go, take jobs, and say what became of them, late, twice, or never."""

from typing import Any

from stageline_engine import commands
from stageline_engine.limits import DELIVERIES_PER_ATTEMPT_MAX, SESSION_TIMEOUT
from stageline_engine.testing.scene import SERVER
from stageline_engine.testing.simulation.choices import Choices
from stageline_engine.testing.simulation.history import History
from stageline_engine.testing.simulation.moves import Move, act
from stageline_engine.testing.simulation.remarks import check_remarks, remarks_of
from stageline_engine.testing.simulation.workflows import NAMESPACES
from stageline_engine.testing.simulation.world import send_one


@act()
async def open_session(history: History, choose: Choices) -> None:
    """A worker connects."""
    await history.open_session(choose.one_of(NAMESPACES))


@act()
async def open_unlabelled_session(history: History, choose: Choices) -> None:
    """A worker connects that has too few labels: it must never be given what requires more."""
    labels = choose.one_of([{}, {"gpu": "a100"}, {"gpu": "l4", "zone": "eu"}])
    await history.open_session(choose.one_of(NAMESPACES), labels)


@act(weight=3)
async def renew_all(history: History, choose: Choices) -> None:
    """All workers are heard of."""
    await history.world.same(lambda scene: scene.renew(*history.sessions))


@act(weight=1)
async def end_session(history: History, choose: Choices) -> None:
    """A worker leaves; where it still holds jobs it may not."""
    session_id, now = choose.one_of(history.sessions), history.world.now
    await history.world.same(lambda scene: scene.backend.sessions.end(session_id, SERVER, now, "DRAINED"))


@act(weight=4)
async def lease(history: History, choose: Choices) -> Move:
    """Leases to any session that there ever was, some of them ended."""
    return history.lease(choose.one_of(history.sessions), choose.number(1, 4))


@act(weight=8)
async def work(history: History, choose: Choices) -> Move | None:
    """Leases jobs to one of the newest sessions, and reports them at once; what follows is handed over eagerly."""
    session_id = choose.one_of(history.sessions[-2:])
    offers = await history.lease_now(session_id, choose.number(1, 4))
    reports = [(offer, choose.outcome()) for offer in offers]
    return history.report(reports, history.some_demands(choose)) if reports else None


@act(weight=1)
async def crash(history: History, choose: Choices) -> None:
    """Workers that take all they can and die, one after the other."""
    namespace = choose.one_of(NAMESPACES)
    for _ in range(choose.number(1, DELIVERIES_PER_ATTEMPT_MAX + 1)):
        await history.lease_now(await history.open_session(namespace), 100)
        history.world.advance(SESSION_TIMEOUT)
        await history.world.same(lambda scene: scene.reap())
    await history.open_session(namespace)


@act(weight=5)
async def report(history: History, choose: Choices) -> Move | None:
    """Reports on any offers that there ever were, some of them stale, some twice."""
    if not history.offers:
        return None
    reports = [(choose.one_of(history.offers), choose.outcome()) for _ in range(choose.number(1, 4))]
    return history.report(reports, history.some_demands(choose))


@act(weight=5)
async def report_newest(history: History, choose: Choices) -> Move | None:
    """Reports on one of the last offers."""
    if not history.offers:
        return None
    reports = [(choose.one_of(history.offers[-3:]), choose.outcome())]
    return history.report(reports, history.some_demands(choose))


@act()
async def progress(history: History, choose: Choices) -> Move | None:
    """Says how far a job is that may not be one any more."""
    if not history.offers:
        return None
    offer = choose.one_of(history.offers)
    command = commands.ReportProgress(
        offer.namespace,
        offer.lease.run_id,
        offer.lease.stage_number,
        offer.lease.lease_token,
        choose.one_of((0.0, 0.5, 1.0)),
        "on",
        {"n": 1},
    )
    return history.plain(lambda scene: send_one(scene, command), offer.namespace)


@act()
async def annotate_under_a_lease(history: History, choose: Choices) -> Move | None:
    """A remark from a stage counts only while its lease does."""
    if not history.offers:
        return None
    offer = choose.one_of(history.offers)
    run_id, known = offer.lease.run_id, history.annotations.setdefault(offer.lease.run_id, set())
    said = history.annotation(choose.one_of("abc"))
    command = commands.AnnotateRun(
        offer.namespace, run_id, (said,), offer.lease.stage_number, offer.lease.lease_token
    )

    async def learn(answer: Any) -> None:
        if isinstance(answer, commands.RunAnnotated):
            assert answer.added == (() if said.id in known else (said.id,))
            known.add(said.id)
        await check_remarks(history, run_id)

    async def recover() -> None:
        known.update(await remarks_of(history, run_id))
        await learn(await history.world.same(lambda scene: send_one(scene, command)))

    return Move(
        send=lambda scene: send_one(scene, command),
        learn=learn,
        namespace=offer.namespace,
        recover=recover,
        repeatable=True,
    )
