"""A simulator of the kernel: random histories that come out the same for the same seed.

Any command at any time, by several servers, with workers that die, reports that come late or twice, answers that are
lost, a database that goes, and time that jumps; over one adapter, or over several side by side. After each step the
invariants are checked, and in the end every run must still come to its end. ``python -m
stageline_engine.testing.simulation`` plays seeds; ``docs/simulation.md`` says how to play them on an adapter of your own.
"""

from stageline_engine.testing.simulation.simulate import SimulationFailed, Told, memory_backend, simulate
from stageline_engine.testing.simulation.world import OpenBackend

__all__ = ["OpenBackend", "SimulationFailed", "Told", "memory_backend", "simulate"]
