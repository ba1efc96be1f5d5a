"""Where a scenario takes place: its database, servers, workers and clients, all of which end with it."""

import json
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from stageline_sdk import SyncClient
from tests.chaos.cluster import Cluster, Database
from tests.chaos.journal import Journal
from tests.support.processes import Process, Processes
from tests.waiting import eventually_sync

Say = Callable[[str], None]


@dataclass(frozen=True)
class Pace:
    """How patient servers are with workers.

    Attributes:
        session_seconds: Silence after which a worker is given up.
        heartbeat_seconds: How often each side says something.
        drain_seconds: How long a server that is told to end waits for its workers.
    """

    session_seconds: float = 3.0
    heartbeat_seconds: float = 0.5
    drain_seconds: float = 2.0

    @property
    def environment(self) -> dict[str, str]:
        """The settings as a server reads them."""
        return {
            "STAGELINE_SESSION_TIMEOUT": f"{self.session_seconds:g}",
            "STAGELINE_HEARTBEAT_INTERVAL": f"{self.heartbeat_seconds:g}",
            "STAGELINE_DRAIN_DEADLINE": f"{self.drain_seconds:g}",
        }


class Server:
    """One `stageline server`, which keeps its address over its deaths."""

    def __init__(self, arena: "Arena", name: str, pace: Pace) -> None:
        """Starts it and waits until it answers."""
        self._arena = arena
        self._name = name
        self._pace = pace
        self.address = "127.0.0.1:0"
        self.process = self._start()

    def restart(self, *, crash: bool) -> None:
        """Ends it, by SIGKILL or SIGTERM, and starts it again."""
        if crash:
            self.process.kill()
        else:
            assert self.process.terminate() == 0, self.process.log()[-2000:]
        self.process = self._start()

    def _start(self) -> Process:
        ready_file = self._arena.folder / f"{self._name}.ready"
        ready_file.unlink(missing_ok=True)
        process = self._arena.processes.start(
            self._name,
            "server",
            *("--listen", self.address, "--ready-file", str(ready_file)),
            environment={
                "STAGELINE_DATABASE_URL": self._arena.database.dsn,
                "STAGELINE_DATA_DIR": str(self._arena.folder / "data"),
                **self._pace.environment,
            },
        )
        self.address = json.loads(process.wait_for_file(ready_file))["address"]
        return process


@dataclass
class Arena:
    """What a scenario is given.

    Attributes:
        cluster: The PostgreSQL.
        database: This scenario's own, in it.
        processes: Where processes are started.
        folder: This scenario's own.
        journal: What its stages wrote down.
        chance: Seeded.
        say: Takes a line of progress.
        stack: Closed at the end, before the processes are ended.
    """

    cluster: Cluster
    database: Database
    processes: Processes
    folder: Path
    chance: random.Random
    say: Say
    journal: Journal = field(init=False)
    stack: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        """Makes the journal."""
        self.journal = Journal(self.folder / "journal")

    def server(self, pace: Pace | None = None, name: str = "server") -> Server:
        """Starts a server on this scenario's database."""
        return Server(self, name, pace or Pace())

    def worker(self, address: str, attribute: str = "worker", *arguments: str) -> Process:
        """Starts a worker of `tests/chaos/stages.py`, and waits until a server knows it."""
        return self.connected([self.start_worker(address, attribute, *arguments)])[0]

    def workers(self, address: str, count: int, attribute: str = "worker") -> list[Process]:
        """Starts several side by side."""
        return self.connected([self.start_worker(address, attribute) for _ in range(count)])

    def start_worker(self, address: str, attribute: str = "worker", *arguments: str) -> Process:
        """Starts one, and returns at once."""
        return self.processes.start(
            "worker", "worker", f"tests.chaos.stages:{attribute}", "--address", address, *arguments
        )

    def connected(self, workers: list[Process]) -> list[Process]:
        """Waits until each has said that it is connected."""
        for each in workers:
            each.wait_for_log("connected to")
        return workers

    def client(self, address: str) -> SyncClient:
        """A client that outlasts every outage; closed with the arena."""
        return self.stack.enter_context(
            SyncClient(address, retry_for=timedelta(minutes=2), outage_max=timedelta(minutes=5))
        )

    def wait_for_the_end(self, within: timedelta) -> None:
        """Waits until every run has ended."""
        eventually_sync(lambda: self.database.open_runs() == 0, what="the end of all runs", within=within)

    def pause(self, seconds: float) -> None:
        """Lets a scenario's rhythm pass, or ends early when every run has ended."""
        deadline = timedelta(seconds=seconds)
        try:
            eventually_sync(lambda: self.database.open_runs() == 0, what="the end", within=deadline)
        except AssertionError:
            return


@contextmanager
def arena(cluster: Cluster, folder: Path, seed: int, say: Say) -> Iterator[Arena]:
    """Gives an arena for the length of a block; what was started in it is ended."""
    processes = Processes(folder / "logs")
    made = Arena(cluster, cluster.new_database(), processes, folder, random.Random(seed), say)
    try:
        with made.stack:
            yield made
    finally:
        processes.end()
