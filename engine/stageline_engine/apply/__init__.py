"""The only makers of new state: (state, event) to state."""

from stageline_engine.apply.dispatch import apply
from stageline_engine.apply.focus import Focus

__all__ = ["Focus", "apply"]
