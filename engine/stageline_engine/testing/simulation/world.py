"""One or several deployments that go through the same history and must give the same answers (I9).

Each has two kernels on one store, which share nothing else but the time.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from stageline_engine.commands import FlushOutbox
from stageline_engine.errors import StorageUnavailableError
from stageline_engine.model.definition import RegisteredWorkflow
from stageline_engine.rejections import Rejection
from stageline_engine.testing.backend import Backend
from stageline_engine.testing.clock import VirtualClock
from stageline_engine.testing.scene import Scene
from stageline_engine.testing.simulation.counted import CountedKernel
from stageline_engine.testing.simulation.executor import ChanceExecutor
from stageline_engine.testing.simulation.unreliable import Loss, UnreliablePersistence
from stageline_engine.testing.simulation.workflows import NAMESPACES, WORKFLOWS
from stageline_engine.testing.sink import CollectingSink

T = TypeVar("T")
OpenBackend = Callable[[], AbstractAsyncContextManager[Backend]]
"""Opens an empty backend and takes it away again."""
Send = Callable[[Scene], Awaitable[T]]
"""What is done on a deployment."""

SERVERS = 2


class KnownRun(NamedTuple):
    """A run that the world knows of."""

    namespace: str
    workflow_name: str


class Deployment:
    """Two kernels on one store whose database can be lost, and a sink that can refuse."""

    def __init__(self, backend: Backend) -> None:
        """Takes an empty backend."""
        self.persistence = UnreliablePersistence(backend.persistence)
        self.sink = CollectingSink()
        self.clock = VirtualClock()
        unreliable = replace(backend, persistence=self.persistence)
        self.scenes = [
            Scene(
                unreliable,
                sink=self.sink,
                seed=server,
                clock=self.clock,
                kernel_type=CountedKernel,
                executor=ChanceExecutor(),
            )
            for server in range(SERVERS)
        ]


class World:
    """Deployments side by side.

    Attributes:
        deployments: All of them.
        server: Which kernel of each takes the next command.
        workflows: What is registered, by namespace and name.
    """

    def __init__(self, backends: Sequence[Backend]) -> None:
        """Takes empty backends of each kind."""
        self.deployments = [Deployment(backend) for backend in backends]
        self.server = 0
        self.workflows: dict[tuple[str, str], RegisteredWorkflow] = {}

    async def register(self) -> None:
        """Registers every workflow in every namespace, and the sink, which is told of events from its first flush on."""
        await self.same(lambda scene: scene.kernel.dispatch(FlushOutbox()))
        for namespace in NAMESPACES:
            for definition in WORKFLOWS:
                registered = await self.same(lambda scene: scene.register(definition), namespace)  # noqa: B023
                self.workflows[namespace, definition.name] = registered

    def workflows_of(self, namespace: str) -> Sequence[RegisteredWorkflow]:
        """The workflows of a namespace."""
        return [self.workflows[namespace, definition.name] for definition in WORKFLOWS]

    @property
    def now(self) -> datetime:
        """The present time, which is the same everywhere."""
        return self.deployments[0].clock.now()

    @property
    def issued(self) -> Mapping[str, Counter[str]]:
        """How many commands of each kind were answered, and how, on the first deployment."""
        answers: dict[str, Counter[str]] = {}
        for scene in self.deployments[0].scenes:
            for kind, counted in scene.kernel.answers.items():  # type: ignore[attr-defined]
                answers.setdefault(kind, Counter()).update(counted)
        return answers

    async def same(self, send: Send[T], namespace: str = NAMESPACES[0]) -> T:
        """Does the same everywhere, checks that the answers are equal, and returns it."""
        answers = [await send(self._scene(deployment, namespace)) for deployment in self.deployments]
        assert all(answer == answers[0] for answer in answers), answers
        return answers[0]

    async def lost(self, send: Send[Any], namespace: str, loss: Loss, commits_left: int = 0) -> None:
        """Does the same everywhere while the database is lost at a commit: nobody learns the answer."""
        for deployment in self.deployments:
            deployment.persistence.loss, deployment.persistence.commits_left = loss, commits_left
            with suppress(StorageUnavailableError):
                await send(self._scene(deployment, namespace))
            deployment.persistence.loss = None

    async def at_once(
        self, sends: Sequence[tuple[Send[Any], str]], turns: Sequence[int]
    ) -> list[tuple[int, Any]]:
        """Does several things at the same time, spread over the kernels.

        Deployments side by side do them one after the other, since only then their answers are comparable.

        Args:
            sends: What to do, and in which namespace.
            turns: How many turns of the event loop each call to the store waits, over and over.

        Returns:
            The position of each and its answer, in the order in which they ended.
        """
        if len(self.deployments) > 1:
            return [(index, await self.same(*send)) for index, send in enumerate(sends)]
        [deployment] = self.deployments
        ended: list[tuple[int, Any]] = []

        async def run(index: int, send: Send[Any], namespace: str) -> None:
            answer = await send(deployment.scenes[index % SERVERS].within(namespace))
            ended.append((index, answer))

        deployment.persistence.interleave(turns)
        await asyncio.gather(*[run(index, *send) for index, send in enumerate(sends)])
        deployment.persistence.interleave(())
        return ended

    def advance(self, by: timedelta) -> None:
        """Lets time pass everywhere."""
        for deployment in self.deployments:
            deployment.clock.advance(by)

    def _scene(self, deployment: Deployment, namespace: str) -> Scene:
        return deployment.scenes[self.server].within(namespace)


async def open_world(backends: Sequence[OpenBackend], stack: AsyncExitStack) -> World:
    """Opens a world that is closed with the stack."""
    world = World([await stack.enter_async_context(opened()) for opened in backends])
    await world.register()
    return world


async def send_one(scene: Scene, command: Any) -> Any:
    """Dispatches one command; returns its answer or why it was refused."""
    return (await scene.kernel.dispatch_many([command])).results[0]


def accepted(answer: Any) -> bool:
    """Whether a command was carried out."""
    return not isinstance(answer, Rejection)


async def send_flush(scene: Scene) -> Any:
    """Publishes what is due."""
    return await scene.kernel.dispatch(FlushOutbox(50))
