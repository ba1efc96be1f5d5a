"""Lease tokens: unguessable, and each says which attempt it was given for.

What a worker says under a lease may come long after the lease has ended; an AI call must then still be booked to the
attempt that made it. A table of all leases there ever were would cost a write with each; so the token itself says it. It
is a UUID of version 8, of which 98 bits are secret.
"""

from uuid import UUID

GENERATION_MAX = 2**16 - 1
ATTEMPT_MAX = 2**8 - 1
"""What a token has room for. A later generation or attempt is written as the highest, and so is not told."""

_GENERATION_SHIFT = 112
_ATTEMPT_SHIFT = 104
_FRAME_MASK = 0xF << 76 | 0b11 << 62
_FRAME = 8 << 76 | 0b10 << 62  # version and variant
_SECRET_MASK = (1 << _ATTEMPT_SHIFT) - 1 & ~_FRAME_MASK


def lease_token(secret: UUID, generation: int, attempt: int) -> UUID:
    """Makes the token of a lease.

    Args:
        secret: 128 random bits, of which the last 98 that are free are used.
        generation: The stage's.
        attempt: The stage's.
    """
    told = min(generation, GENERATION_MAX) << _GENERATION_SHIFT | min(attempt, ATTEMPT_MAX) << _ATTEMPT_SHIFT
    return UUID(int=told | _FRAME | secret.int & _SECRET_MASK)


def attempt_of(token: UUID) -> tuple[int, int] | None:
    """Returns generation and attempt of a token; None where it does not say them."""
    generation = token.int >> _GENERATION_SHIFT
    attempt = token.int >> _ATTEMPT_SHIFT & ATTEMPT_MAX
    if token.int & _FRAME_MASK != _FRAME or generation == GENERATION_MAX or attempt == ATTEMPT_MAX:
        return None
    return generation, attempt
