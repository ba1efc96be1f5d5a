"""6. The database restarted, and one of its backends terminated every second."""

import threading
from dataclasses import dataclass
from datetime import timedelta

from tests.chaos.arena import Arena, Pace
from tests.chaos.audit import audit
from tests.chaos.load import create_runs, every_slot_works
from tests.chaos.scenario import Figures, Scenario

WORKERS = 2


@dataclass(frozen=True)
class Size:
    """How much.

    Attributes:
        runs: Of four stages each; every fifth stage fails once.
        seconds: That a stage takes.
        pauses: Seconds before each restart; every second restart is a crash.
        termination_seconds: Between two terminated backends.
    """

    runs: int
    seconds: float
    pauses: tuple[float, ...]
    termination_seconds: float


class Terminator:
    """Ends a backend again and again, from a thread of its own; use as a context manager."""

    def __init__(self, arena: Arena, seconds: float) -> None:
        """Takes whose, and how often."""
        self.count = 0
        self._arena = arena
        self._seconds = seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="terminator")

    def __enter__(self) -> "Terminator":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(self._seconds):
            self.count += self._arena.cluster.terminate_backend(self._arena.database)


def play(arena: Arena, size: Size) -> Figures:
    """Restarts the database while runs flow."""
    server = arena.server(Pace(session_seconds=20, heartbeat_seconds=1))
    workers = arena.workers(server.address, WORKERS)
    client = arena.client(server.address)
    with Terminator(arena, size.termination_seconds) as terminator:
        runs = create_runs(arena, client, "order", size.runs, flaky=True, seconds=size.seconds)
        for number, seconds in enumerate(size.pauses):
            arena.pause(seconds)
            arena.cluster.restart(crash=number % 2 == 1)
            arena.say(f"restart {number + 1} of {len(size.pauses)}")
        arena.wait_for_the_end(timedelta(minutes=10))
    runs += every_slot_works(arena, client, workers)
    server.process.check_running()
    found = audit(arena, runs)
    found.check()
    assert terminator.count, "no backend was terminated: the storm was none"
    return {**found.figures, "restarts": len(size.pauses), "backends_terminated": terminator.count}


SCENARIO = Scenario(
    6,
    "database-restarts",
    "the database restarted every 5 to 40 s, one backend terminated every second",
    play,
    short=Size(runs=25, seconds=0.1, pauses=(1.0, 1.0), termination_seconds=0.3),
    long=Size(runs=1200, seconds=0.3, pauses=(5, 10, 40, 15, 5), termination_seconds=1.0),
)
