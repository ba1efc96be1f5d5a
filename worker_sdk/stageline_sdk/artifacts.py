"""Artifacts: bytes that a run keeps by name."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

ArtifactData = bytes | str | Path | BinaryIO
"""What can be put: bytes, a text (as UTF-8), a file by its path, or a file that is open for reading bytes."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """An artifact of a run.

    Attributes:
        run_id: The run.
        key: Its name in the run: segments of `A-Z a-z 0-9 . _ -` with `/` between.
        content_type: Its media type.
        size_bytes: Its length.
        sha256: SHA-256 of its bytes, in hexadecimal.
        stage_id: The stage that put it; empty when a client did.
        created_at: When it was put.
    """

    run_id: str
    key: str
    content_type: str
    size_bytes: int
    sha256: str
    stage_id: str
    created_at: datetime
