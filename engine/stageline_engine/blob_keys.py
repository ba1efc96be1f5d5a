"""Which keys stored bytes may have: one spelling for one place, so that no key can reach what it does not name.

Nothing is decoded or normalised: a key that is not canonical is refused, so ``a/../b``, ``a//b``, ``/a``, ``%2e%2e`` and
backslashes never get as far as a folder or a bucket.
"""

import re

BLOB_KEY_LENGTH_MAX = 512
"""Characters of a key: with the prefix of a deployment it stays within the 1,024 bytes that S3 allows."""

BLOB_SEGMENT_LENGTH_MAX = 200
"""Characters between two slashes: file systems allow names of 255 bytes."""

_SEGMENT = re.compile(r"[A-Za-z0-9._-]+")


def key_fault(key: str, *, segment_length_max: int = BLOB_SEGMENT_LENGTH_MAX) -> str:
    """Says why a text is not a canonical key; empty where it is one.

    Args:
        key: 1 to 512 characters: segments of ``A-Z a-z 0-9 . _ -`` with ``/`` between, none of them ``.`` or ``..``.
        segment_length_max: Characters that one segment may have.
    """
    if not 0 < len(key) <= BLOB_KEY_LENGTH_MAX:
        return f"{len(key)} characters, allowed 1 to {BLOB_KEY_LENGTH_MAX}"
    for segment in key.split("/"):
        if not segment:
            return "an empty segment: slashes stand between segments, never first, last or twice"
        if segment in (".", ".."):
            return f"the segment {segment!r}: a key names its place outright"
        if not _SEGMENT.fullmatch(segment):
            return f"the segment {segment[:50]!r}: allowed are A-Z, a-z, 0-9, dot, underscore and dash"
        if len(segment) > segment_length_max:
            return f"a segment of {len(segment)} characters, allowed at most {segment_length_max}"
    return ""
