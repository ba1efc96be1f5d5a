"""What a WorkflowRegistry must do."""

from datetime import timedelta

from stageline_engine.model.definition import RetryPolicy, StageMode, StageTimeouts
from stageline_engine.testing.conformance.base import Conformance
from stageline_engine.testing.definitions import digest_of, stage, workflow


class RegistryConformance(Conformance):
    """Definitions are immutable, numbered per name, and found again as they were stored."""

    async def test_nothing_is_found_in_an_empty_registry(self) -> None:
        async with self.scene() as scene:
            registry = scene.backend.registry
            assert await registry.get("default", "absent") is None
            assert await registry.get("default", "absent", 1) is None
            assert list(await registry.list("default", limit=10)) == []

    async def test_a_definition_comes_back_as_it_was_stored(self) -> None:
        full = stage(
            "full",
            description="Ü, \\u0000 as text, \U0001f600",
            mode=StageMode.ASYNC_BATCH,
            input_schema='{"type": "object", "properties": {"b": {}, "a": {}}}',
            output_schema='{"const":1.0}',
            config_schema='{"type":"object"}',
            default_config='{"z":1,"a":[]}',
            accepts_any_input=True,
            dependencies=("first",),
            retry=RetryPolicy(
                7, timedelta(milliseconds=250), timedelta(hours=2), 1.5, 0.25, ("ValueError", "a.b.C")
            ),
            timeouts=StageTimeouts(
                timedelta(seconds=1), timedelta(microseconds=1_500_000), timedelta(days=400)
            ),
            required_labels={"gpu": "a100", "zone": "Ü"},
        )
        definition = workflow(
            "kept",
            "first",
            [full, "beside"],
            title="T",
            description="D",
            input_schema="{}",
            output_schema="true",
        )
        async with self.scene() as scene:
            registered = await scene.register(definition)
            found = await scene.backend.registry.get("default", "kept", 1)
            assert found == registered
            assert registered.definition == definition
            assert registered.version == 1
            assert registered.digest == digest_of(definition)
            assert registered.created_at == scene.clock.now()

    async def test_the_same_digest_is_the_same_version(self) -> None:
        async with self.scene() as scene:
            first = await scene.register(workflow("flow", "a"))
            scene.clock.advance(timedelta(hours=1))
            assert await scene.register(workflow("flow", "a")) == first

    async def test_a_changed_definition_is_the_next_version(self) -> None:
        async with self.scene() as scene:
            first = await scene.register(workflow("flow", "a"))
            second = await scene.register(workflow("flow", "a", "b"))
            assert (first.version, second.version) == (1, 2)
            assert await scene.backend.registry.get("default", "flow") == second
            assert await scene.backend.registry.get("default", "flow", 1) == first
            assert await scene.backend.registry.get("default", "flow", 3) is None
            assert await scene.register(workflow("flow", "a")) == first

    async def test_every_stage_of_every_version_has_a_route_of_its_own(self) -> None:
        async with self.scene() as scene:
            first = await scene.register(workflow("flow", "a", ["b", "c"]))
            second = await scene.register(workflow("flow", "a"))
            other = await scene.register(workflow("other", "a"))
            routes = [*first.route_ids, *second.route_ids, *other.route_ids]
            assert len(first.route_ids) == 3
            assert len(set(routes)) == 5

    async def test_namespaces_are_apart(self) -> None:
        async with self.scene() as scene:
            registry, now, definition = scene.backend.registry, scene.clock.now(), workflow("flow", "a")
            mine = await registry.register("mine", definition, digest_of(definition), now)
            assert await registry.get("yours", "flow") is None
            assert list(await registry.list("yours", limit=10)) == []
            yours = await registry.register("yours", definition, digest_of(definition), now)
            assert yours.version == 1
            assert not set(mine.route_ids) & set(yours.route_ids)

    async def test_list_gives_the_newest_versions_in_the_order_of_code_points(self) -> None:
        names = ["a-b", "a.b", "a0", "a_b", "aa", "b"]
        async with self.scene() as scene:
            for name in reversed(names):
                await scene.register(workflow(name, "a"))
            newest = await scene.register(workflow("aa", "a", "b"))
            registry = scene.backend.registry
            listed = await registry.list("default", limit=10)
            assert [found.definition.name for found in listed] == names
            assert newest in listed
            page = await registry.list("default", after_name="a.b", limit=2)
            assert [found.definition.name for found in page] == ["a0", "a_b"]
