"""Every port in memory: for tests, for embedding, and for a server that may forget. One process, one event loop."""

from stageline_engine.adapters.memory.blobs import MemoryBlobStore
from stageline_engine.adapters.memory.store import MemoryStore

__all__ = ["MemoryBlobStore", "MemoryStore"]
