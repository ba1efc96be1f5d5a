"""What clients do with whole runs."""

from datetime import timedelta
from typing import Any

from stageline_engine import commands
from stageline_engine.commands import RunCreation
from stageline_engine.events import Annotation
from stageline_engine.model.run import RunState
from stageline_engine.rejections import Reason, Rejection
from stageline_engine.testing.simulation.choices import Choices
from stageline_engine.testing.simulation.history import History
from stageline_engine.testing.simulation.moves import Move, act
from stageline_engine.testing.simulation.remarks import check_remarks
from stageline_engine.testing.simulation.workflows import NAMESPACES, WORKFLOWS
from stageline_engine.testing.simulation.world import send_one


@act(weight=4)
async def create(history: History, choose: Choices) -> Move:
    """Creates a run under no key, a key of its own, or one of few that others have as well."""
    namespace = choose.one_of(NAMESPACES)
    name = choose.one_of(WORKFLOWS).name
    key = choose.one_of(("", history.new_key("create"), "key-1", "key-2"))
    start_at = None
    if choose.once_in(3):
        start_at = history.world.now + timedelta(seconds=choose.one_of((1, 10)))
    command = commands.CreateRun(
        namespace,
        name,
        b"{}",
        priority=choose.one_of((0, 5, 9)),
        start_at=start_at,
        idempotency_key=key,
    )

    async def send(scene: Any) -> Any:
        return await send_one(scene, command)

    async def learn(answer: Any) -> None:
        first = history.by_key.get((namespace, key)) if key else None
        if isinstance(answer, Rejection):
            in_progress = history.at_once and answer.reason is Reason.REQUEST_IN_PROGRESS
            reused = first is not None and first[0] != command
            assert in_progress or (reused and answer.reason is Reason.REQUEST_ID_REUSED), answer
            return
        assert isinstance(answer, RunCreation)
        if first is not None:
            assert first == (command, answer.run_id)
            assert answer.replayed
        if key:
            history.by_key[namespace, key] = (command, answer.run_id)
            history.key_times.setdefault((namespace, key), history.world.now)
        history.know(answer.run_id, namespace, name)

    async def recover() -> None:
        answer = await history.world.same(send)
        assert isinstance(answer, Rejection) or answer.replayed
        await learn(answer)

    return Move(
        send=send, learn=learn, namespace=namespace, recover=recover if key else None, repeatable=bool(key)
    )


@act(weight=2)
async def cancel(history: History, choose: Choices) -> Move:
    """Cancels any run that there ever was."""
    run_id = choose.one_of(list(history.runs))
    namespace = history.runs[run_id].namespace
    command = commands.CancelRun(
        namespace, run_id, "because", history.new_key("cancel") if choose.once_in(2) else ""
    )

    async def send(scene: Any) -> Any:
        return await send_one(scene, command)

    async def learn(answer: Any) -> None:
        assert isinstance(answer, commands.RunCancellation)
        if answer.cancelled and not command.idempotency_key:
            assert run_id not in history.cancelled
        if answer.state is RunState.CANCELLED and run_id not in history.cancelled:
            history.cancelled[run_id] = await history.snapshot(run_id)

    async def recover() -> None:
        again = await history.world.same(send)
        assert (
            not (isinstance(again, commands.RunCancellation) and again.cancelled) or command.idempotency_key
        )
        await learn(again)

    return Move(send=send, learn=learn, namespace=namespace, recover=recover, repeatable=True)


@act(weight=6)
async def rerun(history: History, choose: Choices) -> Move:
    """Runs any run again from any stage, mostly one that has ended; sometimes with another config."""
    ended = history.ended_runs()
    run_id = choose.one_of(ended if ended and not choose.once_in(3) else list(history.runs))
    known = history.runs[run_id]
    definition = history.world.workflows[known.namespace, known.workflow_name].definition
    command = commands.RerunRun(
        known.namespace,
        run_id,
        choose.one_of(definition.stages).id,
        "again",
        choose.one_of((None, b"{}")),
        history.new_key("rerun"),
    )

    async def send(scene: Any) -> Any:
        return await send_one(scene, command)

    async def learn(answer: Any) -> None:
        if isinstance(answer, Rejection):
            return
        assert run_id not in history.cancelled
        numbers = {definition.number_by_id[stage_id] for stage_id in answer.discarded_stage_ids}
        history.ledger.rerun(run_id, numbers)
        history.kept.rerun(run_id, numbers)

    async def recover() -> None:
        await learn(await history.world.same(send))

    return Move(send=send, learn=learn, namespace=known.namespace, recover=recover, repeatable=True)


@act(weight=2)
async def annotate(history: History, choose: Choices) -> Move:
    """Remarks of few ids, so that many are repeats; whoever cancelled a run is not told of any."""
    run_id = choose.one_of(list(history.runs))
    namespace, known = history.runs[run_id].namespace, history.annotations.setdefault(run_id, set())
    tell = choose.once_in(2) and run_id not in history.cancelled
    ids = choose.some_of("abc", 3)
    said = tuple(Annotation(id_, f"key.{id_}", "1", emit_event=tell) for id_ in ids)

    async def send(scene: Any) -> Any:
        return await send_one(scene, commands.AnnotateRun(namespace, run_id, said))

    async def learn(answer: Any) -> None:
        assert answer.added == tuple(id_ for id_ in ids if id_ not in known)
        known.update(ids)
        await check_remarks(history, run_id)

    async def recover() -> None:
        known.update(ids)
        await learn(await history.world.same(send))

    return Move(send=send, learn=learn, namespace=namespace, recover=recover, repeatable=True)
