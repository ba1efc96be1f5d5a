"""The BlobStore port on S3 and what speaks its protocol. Needs the extra ``stageline[s3]``."""

from stageline_engine.adapters.s3.blobs import S3BlobStore

__all__ = ["S3BlobStore"]
