"""10. Random mutations of frames: refused in words, with no crash, and nothing of one session in another."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from functools import partial

from stageline_sdk._portal import LoopThread
from tests.chaos.arena import Arena, Pace
from tests.chaos.audit import audit
from tests.chaos.load import create_runs
from tests.chaos.mutated_server import maul_server
from tests.chaos.mutated_sockets import maul_sockets
from tests.chaos.mutated_worker import maul_workers
from tests.chaos.scenario import Figures, Scenario
from tests.chaos.stages import prey

HONEST_RUNS = 10


@dataclass(frozen=True)
class Size:
    """How many frames are mutated.

    Attributes:
        to_server: Given to the server's session, in this process.
        to_worker: Given to the worker's session, in this process.
        over_sockets: Sent to a server's process, beside an honest worker.
    """

    to_server: int
    to_worker: int
    over_sockets: int


def play(arena: Arena, size: Size) -> Figures:
    """Mauls a server's process, then the session of either side."""
    server = arena.server(Pace(session_seconds=5, heartbeat_seconds=0.5))
    worker = arena.worker(server.address)
    # A loop that outlives the client's: gRPC complains where loops of one process end in another order.
    loop = LoopThread("mauling")
    arena.stack.callback(loop.close, partial(asyncio.sleep, 0))
    client = arena.client(server.address)
    client.register_workflow(prey)
    runs = create_runs(arena, client, "order", HONEST_RUNS, seconds=0.2, talks=True)
    streams = loop.run(maul_sockets(server.address, size.over_sockets, arena.chance))
    arena.wait_for_the_end(timedelta(minutes=2))
    for each in (server.process, worker):
        each.check_running()
    assert "Traceback" not in server.process.log(), server.process.log()[-4000:]
    found = audit(arena, runs)
    found.check(repeated_max=0)
    arena.say("sockets mauled")
    at_server = loop.run(maul_server(size.to_server, arena.chance))
    arena.say("server's sessions mauled")
    at_worker = maul_workers(size.to_worker, arena.chance)
    assert streams["streams refused"]
    assert at_server["items refused"]
    assert at_worker["taken"]
    return {
        "mutated_frames": size.over_sockets + size.to_server + size.to_worker,
        "crashes": 0,
        **{f"socket_{name.replace(' ', '_')}": count for name, count in streams.items()},
        "server_items_refused": at_server["items refused"],
        "server_streams_refused": at_server["streams refused"],
        "worker_streams_broken_off": at_worker["stream broken off"],
        "honest_runs_lost": found.lost,
    }


SCENARIO = Scenario(
    10,
    "mutations",
    "a million random mutations of frames",
    play,
    short=Size(to_server=3_000, to_worker=5_000, over_sockets=400),
    long=Size(to_server=480_000, to_worker=500_000, over_sockets=20_000),
)
