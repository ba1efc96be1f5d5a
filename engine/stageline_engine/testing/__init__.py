"""What tests of and on the engine need: a clock and ids under control, a sink that collects, definitions in one line.

Nothing in here needs a test framework. ``conformance`` holds the suites that every adapter must pass.
"""

from stageline_engine.testing.backend import Backend, in_memory
from stageline_engine.testing.clock import VirtualClock
from stageline_engine.testing.definitions import digest_of, stage, workflow
from stageline_engine.testing.expectations import raises, waits_until_released
from stageline_engine.testing.ids import SequentialIds
from stageline_engine.testing.scene import Scene
from stageline_engine.testing.sink import CollectingSink

__all__ = [
    "Backend",
    "CollectingSink",
    "Scene",
    "SequentialIds",
    "VirtualClock",
    "digest_of",
    "in_memory",
    "raises",
    "stage",
    "waits_until_released",
    "workflow",
]
