"""A submission's reference: the provider's id of a batch, or of several of which one may be it."""

from collections.abc import Sequence

CANDIDATES_MAX = 15
"""Batches that may be the one that is looked for; their ids fit into a reference of 1,024 characters."""
_ONE_OF = "one of: "


def in_doubt(batch_ids: Sequence[str]) -> str:
    """Return a reference to batches of which one may be the one that was submitted."""
    return _ONE_OF + " ".join(batch_ids)


def candidates_of(reference: str) -> tuple[str, ...]:
    """Return the batches that a reference leaves in doubt; none where it names the one."""
    return tuple(reference.removeprefix(_ONE_OF).split()) if reference.startswith(_ONE_OF) else ()
