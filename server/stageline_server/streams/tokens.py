"""Lease tokens on the wire: opaque to workers, and enough for any server to find the job without a look-up."""

import struct
from dataclasses import dataclass
from uuid import UUID

from stageline_engine import limits
from stageline_engine.commands import LeaseReference

_LAYOUT = struct.Struct(">B16sI16s")
_FORMAT = 1

TOKEN_BYTES_MAX = 64
"""The longest token that the protocol allows; of a longer one, no more than this is ever sent back."""


@dataclass(frozen=True, slots=True)
class LeaseToken:
    """What a token says: the run, the stage's number, and the secret that makes it this lease's."""

    run_id: UUID
    stage_number: int
    secret: UUID


def encode_token(lease: LeaseReference) -> bytes:
    """Returns a lease's token: 37 bytes."""
    return _LAYOUT.pack(_FORMAT, lease.run_id.bytes, lease.stage_number, lease.lease_token.bytes)


def decode_token(token: bytes) -> LeaseToken | None:
    """Returns what a token says, or None where no server of this kind made it."""
    if len(token) != _LAYOUT.size or token[0] != _FORMAT:
        return None
    _, run_id, number, secret = _LAYOUT.unpack(token)
    if not 1 <= number <= limits.STAGES_PER_WORKFLOW_MAX:
        return None
    return LeaseToken(UUID(bytes=run_id), number, UUID(bytes=secret))
