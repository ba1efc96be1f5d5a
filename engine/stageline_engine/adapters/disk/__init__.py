"""The BlobStore port on a folder of the local disk."""

from stageline_engine.adapters.disk.blobs import DiskBlobStore

__all__ = ["DiskBlobStore"]
