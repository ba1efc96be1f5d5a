"""What a UnitOfWork must do with idempotency keys."""

from stageline_engine.commands import RunCancellation, RunCreation
from stageline_engine.records import ChangeSet, KeyRecord
from stageline_engine.rejections import Reason, Rejection
from stageline_engine.testing.conformance.base import Conformance
from stageline_engine.testing.definitions import workflow
from stageline_engine.testing.scene import Scene

NAME = ("default", "run.create", "key")


def record(scene: Scene, name: tuple[str, str, str] = NAME) -> KeyRecord:
    """A key with a result."""
    return KeyRecord(*name, fingerprint=bytes(range(32)), result=b'["x",1]', created_at=scene.clock.now())


class KeyConformance(Conformance):
    """A key is one transaction's at a time, and known with its result from the commit on."""

    async def test_a_new_key_is_reserved_with_no_record(self) -> None:
        async with self.scene() as scene, scene.backend.persistence.begin() as work:
            assert await work.reserve_keys({NAME}) == {NAME: None}
            assert await work.reserve_keys(set()) == {}

    async def test_a_stored_key_comes_with_its_record(self) -> None:
        async with self.scene() as scene:
            async with scene.backend.persistence.begin() as work:
                await work.reserve_keys({NAME})
                await work.commit(ChangeSet(keys=[record(scene)]))
            async with scene.backend.persistence.begin() as work:
                assert await work.reserve_keys({NAME}) == {NAME: record(scene)}

    async def test_namespace_and_command_are_part_of_the_key(self) -> None:
        others = {
            ("another", "run.create", "key"),
            ("default", "run.cancel", "key"),
            ("default", "run.create", "K"),
        }
        async with self.scene() as scene:
            async with scene.backend.persistence.begin() as work:
                await work.commit(ChangeSet(keys=[record(scene)]))
            async with scene.backend.persistence.begin() as work:
                assert await work.reserve_keys(others) == dict.fromkeys(others)

    async def test_a_key_that_another_transaction_holds_is_left_out(self) -> None:
        free = ("default", "run.create", "free")
        async with self.scene() as scene:
            persistence = scene.backend.persistence
            async with persistence.begin() as second:
                async with persistence.begin() as first:
                    await first.reserve_keys({NAME})
                    assert await second.reserve_keys({NAME, free}) == {free: None}
                assert await second.reserve_keys({NAME}) == {NAME: None}

    async def test_a_commit_frees_the_key_and_tells_its_result(self) -> None:
        async with self.scene() as scene:
            persistence = scene.backend.persistence
            async with persistence.begin() as second:
                async with persistence.begin() as first:
                    await first.reserve_keys({NAME})
                    await first.commit(ChangeSet(keys=[record(scene)]))
                assert await second.reserve_keys({NAME}) == {NAME: record(scene)}

    async def test_a_command_whose_key_is_held_is_refused_as_in_progress(self) -> None:
        async with self.scene() as scene:
            await scene.register(workflow("flow", "a"))
            async with scene.backend.persistence.begin() as work:
                await work.reserve_keys({NAME})
                answer = await scene.try_create("flow", idempotency_key="key")
                assert isinstance(answer, Rejection)
                assert answer.reason is Reason.REQUEST_IN_PROGRESS
            assert isinstance(await scene.try_create("flow", idempotency_key="key"), RunCreation)

    async def test_a_replayed_command_gives_the_first_result(self) -> None:
        async with self.scene_with_run() as (scene, registered, _):
            first = await scene.try_create("flow", idempotency_key="key")
            again = await scene.try_create("flow", idempotency_key="key")
            assert isinstance(first, RunCreation)
            assert again == RunCreation(first.run_id, registered.version, replayed=True)
            cancelled = await scene.cancel(first.run_id, "why", idempotency_key="key")
            assert isinstance(cancelled, RunCancellation)
            assert cancelled.cancelled
            assert await scene.cancel(first.run_id, "why", idempotency_key="key") == cancelled
