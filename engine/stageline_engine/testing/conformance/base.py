"""What all suites share: a fresh backend for each test, and a scene on it."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from uuid import UUID

from stageline_engine.model.definition import RegisteredWorkflow
from stageline_engine.ports import ALL_STAGES, LoadedRun, UnitOfWork
from stageline_engine.testing.backend import Backend
from stageline_engine.testing.definitions import Group, workflow
from stageline_engine.testing.play import Play
from stageline_engine.testing.scene import Scene


class Conformance(ABC):
    """A suite. Its subclass says where backends come from; the suites know nothing else of an adapter."""

    @abstractmethod
    def backend(self) -> AbstractAsyncContextManager[Backend]:
        """Yields an empty backend and takes it away again. Called once for each test."""

    @asynccontextmanager
    async def scene(self) -> AsyncIterator[Scene]:
        """Yields a kernel on a fresh backend, with a clock that stands still."""
        async with self.backend() as backend:
            yield Scene(backend)

    @asynccontextmanager
    async def scene_with_run(self, *groups: Group) -> AsyncIterator[tuple[Scene, RegisteredWorkflow, UUID]]:
        """Yields a scene, a workflow of these groups (a single stage ``a`` if unsaid), and a run of it."""
        async with self.scene() as scene:
            registered = await scene.register(workflow("flow", *(groups or ("a",))))
            yield scene, registered, await scene.create("flow")

    @asynccontextmanager
    async def play(self, *groups: Group, **fields: Any) -> AsyncIterator[tuple[Play, UUID]]:
        """Yields a play of a workflow of these groups and fields, and a run of it."""
        async with self.scene() as scene:
            registered = await scene.register(workflow("flow", *groups, **fields))
            yield Play(scene, registered, await scene.open_session()), await scene.create("flow")


async def load(work: UnitOfWork, run_id: UUID) -> LoadedRun:
    """Locks and reads one run that must exist, with all its stages."""
    loaded = await work.load_runs({run_id: ALL_STAGES})
    if len(loaded) != 1:
        raise AssertionError(f"run {run_id} could not be loaded")
    return loaded[0]
