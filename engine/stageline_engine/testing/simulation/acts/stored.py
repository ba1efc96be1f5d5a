"""What is stored beside the database: payloads by reference, artifacts by name, and their removal."""

import hashlib
from typing import Any
from uuid import UUID

from stageline_engine import commands
from stageline_engine.artifact_store import Announced, Place
from stageline_engine.blobs import chunked
from stageline_engine.commands import Completed, JobOffer, RunCreation
from stageline_engine.model.blob import ArtifactRow, LeaseClaim
from stageline_engine.model.stored_payload import StoredPayload
from stageline_engine.rejections import Reason, Rejection
from stageline_engine.testing.scene import Scene, completed
from stageline_engine.testing.simulation.choices import Choices
from stageline_engine.testing.simulation.history import History
from stageline_engine.testing.simulation.keeping import LONGEST_GRACE, KeptArtifact
from stageline_engine.testing.simulation.moves import Move, act
from stageline_engine.testing.simulation.workflows import NAMESPACES, WORKFLOWS
from stageline_engine.testing.simulation.world import send_one

NOWHERE = StoredPayload(hashlib.sha256(b"never put").digest(), 9)


@act(weight=2)
async def create_by_reference(history: History, choose: Choices) -> Move:
    """Creates a run whose input is stored, in most cases: the same few for both tenants."""
    namespace, name = choose.one_of(NAMESPACES), choose.one_of(WORKFLOWS).name
    text = f'{{"n": {choose.number(1, 3)}}}'.encode()
    stored = NOWHERE if choose.once_in(5) else await history.kept.put(history, namespace, text)
    command = commands.CreateRun(namespace, name, stored)

    async def send(scene: Any) -> Any:
        return await send_one(scene, command)

    async def learn(answer: Any) -> None:
        if stored is NOWHERE:
            assert isinstance(answer, Rejection)
            assert answer.reason is Reason.PAYLOAD_NOT_FOUND
            return
        assert isinstance(answer, RunCreation), answer
        history.know(answer.run_id, namespace, name)
        history.kept.uses.add((answer.run_id, stored.sha256))

    return Move(send=send, learn=learn, namespace=namespace)


@act(weight=3)
async def report_by_reference(history: History, choose: Choices) -> Move | None:
    """Reports on any offer with an output that its worker has stored, or with one that leads nowhere."""
    if not history.offers:
        return None
    offer = history.offers[-1] if choose.once_in(2) else choose.one_of(history.offers)
    text = str(choose.number(0, 9)).encode()
    stored = NOWHERE
    if not choose.once_in(5):
        stored = await history.kept.put(history, offer.namespace, text, offer.lease.run_id)
    return history.report([(offer, Completed(stored))], history.some_demands(choose))


@act(weight=2)
async def put_artifact(history: History, choose: Choices) -> None:
    """A client, or a worker under any lease that there ever was, puts bytes under one of few names."""
    offer = choose.one_of(history.offers) if history.offers and choose.once_in(2) else None
    run_id = offer.lease.run_id if offer else choose.one_of(list(history.runs))
    await _put(history, choose, run_id, offer)


@act(weight=5)
async def work_with_artifacts(history: History, choose: Choices) -> Move | None:
    """Leases jobs, puts an artifact for each, and completes them."""
    offers = await history.lease_now(choose.one_of(history.sessions[-2:]), choose.number(1, 3))
    for offer in offers:
        assert await _put(history, choose, offer.lease.run_id, offer)
    reports = [(offer, completed(1)) for offer in offers]
    return history.report(reports, ()) if reports else None


async def _put(history: History, choose: Choices, run_id: UUID, offer: JobOffer | None) -> bool:
    """Puts bytes and checks what is there then; says whether they were taken."""
    lease = LeaseClaim(offer.lease.stage_number, offer.lease.lease_token) if offer else None
    key, data = choose.one_of(("a", "b/c")), str(choose.number(0, 2)).encode()

    async def send(scene: Scene) -> Any:
        place = Place(scene.namespace, run_id, key, lease)
        put = await scene.artifacts.put(place, Announced(), chunked(data))
        return put.stage_number if isinstance(put, ArtifactRow) else put.reason

    answer = await history.world.same(send, history.runs[run_id].namespace)
    if isinstance(answer, Reason):
        assert lease is not None
        assert answer is Reason.LEASE_SUPERSEDED
    else:
        history.kept.artifacts[run_id, key] = KeptArtifact(data, answer)
    await history.kept.check_artifacts(history, run_id)
    return not isinstance(answer, Reason)


@act(weight=1)
async def delete_artifact(history: History, choose: Choices) -> None:
    """A client takes one away that may not be there."""
    run_id, key = choose.one_of(list(history.runs)), choose.one_of(("a", "b/c"))

    async def send(scene: Scene) -> Any:
        return await scene.artifacts.delete(Place(scene.namespace, run_id, key))

    deleted = await history.world.same(send, history.runs[run_id].namespace)
    assert deleted == (history.kept.artifacts.pop((run_id, key), None) is not None)
    await history.kept.check_artifacts(history, run_id)


@act(weight=2)
async def clean_blobs(history: History, choose: Choices) -> None:
    """Removes stored bytes that nobody needs; sometimes when every grace is over, but never for what is on its way."""
    if choose.once_in(6) and not history.at_once:
        history.world.advance(LONGEST_GRACE)
    await history.kept.clean(history)
