"""Removing stored bytes that nobody needs any more. Safe to run in several places at once, and to break off anywhere."""

from dataclasses import dataclass
from datetime import datetime

from stageline_engine.limits import PAYLOAD_GRACE, UPLOAD_TIME_MAX
from stageline_engine.ports import BlobIndex, BlobStore, Clock

BLOBS_PER_STEP_MAX = 500
"""Blobs that one step removes; the next one goes on."""


@dataclass(frozen=True, slots=True)
class UpkeepTerms:
    """What is old enough.

    Attributes:
        now: Payloads whose time is over by then, and that no run refers to, are taken away.
        keep_until: When payloads that a run does refer to are looked at again.
        written_before: Uploads that began before are of processes that died.
    """

    now: datetime
    keep_until: datetime
    written_before: datetime


@dataclass(frozen=True, slots=True)
class BlobsCleaned:
    """What a step did: payloads looked at, blobs removed. ``more`` says that the next step has work already."""

    payloads: int
    blobs: int
    more: bool


def terms_at(now: datetime) -> UpkeepTerms:
    """Decides what is old enough at a time."""
    return UpkeepTerms(now, now + PAYLOAD_GRACE, now - UPLOAD_TIME_MAX)


async def clean_blobs(
    blobs: BlobStore, index: BlobIndex, clock: Clock, *, limit: int = BLOBS_PER_STEP_MAX
) -> BlobsCleaned:
    """Takes one step: rows first, each in a transaction of its own, then the bytes that no row names.

    Raises:
        StorageUnavailableError: The store or the database is away; what is left is done by a later step.
    """
    terms = terms_at(clock.now())
    payloads = await index.expire_payloads(terms.now, terms.keep_until, limit)
    waste = await index.waste(terms.written_before, limit)
    for blob in waste:
        await blobs.delete(blob.key)
    await index.forget(waste)
    return BlobsCleaned(payloads, len(waste), more=limit in (payloads, len(waste)))
