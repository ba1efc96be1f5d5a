"""What can happen in a random history. A new command gets its act in a module here, and its import below.

An act chooses what is done, and returns it as a ``Move``: what is sent, and what the world learns from the answer. The
simulation then does it plainly, twice, with its answer lost, with its database lost, or at once with others. What cannot
be any of that (a session that opens, time that passes) is simply done, and returns None.
"""

from stageline_engine.testing.simulation.acts import (
    clients,
    in_process,
    mishaps,
    servers,
    spending,
    stored,
    strangers,
    streamless,
    submitting,
    upkeep,
    waits,
    workers,
)
from stageline_engine.testing.simulation.moves import ACTS

__all__ = [
    "ACTS",
    "clients",
    "in_process",
    "mishaps",
    "servers",
    "spending",
    "stored",
    "strangers",
    "streamless",
    "submitting",
    "upkeep",
    "waits",
    "workers",
]
