"""A real S3 server of the test's own process, on 127.0.0.1."""

import logging
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

if TYPE_CHECKING:
    from stageline_engine.adapters.s3 import S3BlobStore


REGION = "us-east-1"
ACCESS_KEY_ID = "test"
SECRET_ACCESS_KEY = "test"


@dataclass(frozen=True, slots=True)
class Bucket:
    """An empty bucket, and how to reach it."""

    name: str
    endpoint: str

    def store(self, prefix: str = "stageline") -> "S3BlobStore":
        """Returns the port on it."""
        from stageline_engine.adapters.s3 import S3BlobStore  # noqa: PLC0415 - see object_server

        return S3BlobStore(
            self.name,
            prefix=prefix,
            endpoint=self.endpoint,
            region=REGION,
            access_key_id=ACCESS_KEY_ID,
            secret_access_key=SECRET_ACCESS_KEY,
        )


@contextmanager
def object_server() -> Iterator[str]:
    """Serves S3 on a free port, and yields its URL."""
    # Imported here, since it takes long, and every test process imports this module for its fixtures.
    from moto.server import ThreadedMotoServer  # noqa: PLC0415

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def make_bucket(endpoint: str) -> Bucket:
    """Makes an empty bucket."""
    bucket = Bucket(f"bucket-{uuid4().hex}", endpoint)
    request = urllib.request.Request(f"{endpoint}/{bucket.name}", method="PUT")
    with urllib.request.urlopen(request, timeout=10):
        return bucket
