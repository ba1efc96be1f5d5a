"""One or several deployments that go through the same history and must give the same answers (I9)."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from stageline_engine.errors import StorageUnavailableError
from stageline_engine.model.definition import (
    RegisteredWorkflow,
    RetryPolicy,
    StageTimeouts,
    WorkflowDefinition,
)
from stageline_engine.testing import Backend, CollectingSink, Scene, stage, workflow
from stageline_engine.testing.play import batch_stage
from tests.property.interruptible import InterruptiblePersistence

T = TypeVar("T")
OpenBackend = Callable[[], AbstractAsyncContextManager[Backend]]

TWICE = RetryPolicy(max_attempts=2, initial_backoff=timedelta(seconds=2), jitter=0.5)
WORKFLOWS: Sequence[WorkflowDefinition] = (
    workflow("single", stage("only", output_schema='{"type": "integer"}', retry=RetryPolicy(max_attempts=1))),
    workflow("line", stage("first", retry=TWICE), stage("second", retry=TWICE)),
    workflow("wait", [batch_stage("batch", retry=TWICE), "beside"], batch_stage("last", retry=TWICE)),
    workflow(
        "timed",
        stage("quick", retry=TWICE, timeouts=StageTimeouts(timedelta(seconds=20), timedelta(seconds=4))),
        stage("alive", retry=TWICE, timeouts=StageTimeouts(heartbeat=timedelta(seconds=4))),
        run_timeout=timedelta(seconds=90),
    ),
    workflow("fan", "split", [stage("left", retry=TWICE), "right"], "join"),
)


class Deployment:
    """One scene whose database can be lost."""

    def __init__(self, backend: Backend) -> None:
        self.persistence = InterruptiblePersistence(backend.persistence)
        self.sink = CollectingSink()
        self.scene = Scene(replace(backend, persistence=self.persistence), sink=self.sink)


class World:
    """Deployments side by side, and an event loop to run them on."""

    def __init__(self, backends: Sequence[OpenBackend]) -> None:
        """Opens a fresh backend of each kind and registers the workflows."""
        self._runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self.deployments: list[Deployment] = []
        self.workflows: dict[str, RegisteredWorkflow] = {}
        for backend in backends:
            opened = self._runner.run(self._stack.enter_async_context(backend()))
            self.deployments.append(Deployment(opened))
        for definition in WORKFLOWS:
            self.workflows[definition.name] = self.same(lambda scene: scene.register(definition))  # noqa: B023

    def close(self) -> None:
        """Closes the backends and the loop."""
        self._runner.run(self._stack.aclose())
        self._runner.close()

    @property
    def clock_now(self) -> Any:
        """The present time, which is the same everywhere."""
        return self.deployments[0].scene.clock.now()

    def same(self, act: Callable[[Scene], Awaitable[T]]) -> T:
        """Does the same everywhere, checks that the answers are equal, and returns it."""
        answers = [self._run(act(deployment.scene)) for deployment in self.deployments]
        assert all(answer == answers[0] for answer in answers), answers
        return answers[0]

    def interrupted(self, act: Callable[[Scene], Awaitable[Any]], commits_left: int = 0) -> None:
        """Does the same everywhere while the database is lost at a commit."""
        for deployment in self.deployments:
            deployment.persistence.commits_left = commits_left
            with suppress(StorageUnavailableError):
                self._run(act(deployment.scene))
            deployment.persistence.commits_left = None

    def advance(self, by: timedelta) -> None:
        """Lets time pass everywhere."""
        for deployment in self.deployments:
            deployment.scene.clock.advance(by)

    def snapshot(self, run_ids: Sequence[UUID]) -> Any:
        """Everything that there is to know of these runs."""

        async def read(scene: Scene) -> Any:
            return [(await scene.details(run_id), list(await scene.events(run_id))) for run_id in run_ids]

        return self.same(read)

    def _run(self, awaitable: Awaitable[T]) -> T:
        async def wait() -> T:
            return await awaitable

        return self._runner.run(wait())
