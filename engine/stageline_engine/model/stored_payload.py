"""Payloads that are stored apart, since they are over the inline limit.

Everywhere in the engine a payload is JSON text. One that is stored apart is represented by its reference, which is JSON
text too, a string with the character U+0000: no payload may hold that character, so nobody can pass off a payload as a
reference, and rows, budgets and statements need no second form (``docs/decisions/0012``).
"""

import re
from typing import Self

from stageline_engine.rejections import Rejection

_HEAD = '"\\u0000payload '
_REFERENCE = re.compile(r'"\\u0000payload ([0-9a-f]{64}) ([1-9][0-9]{0,18})"')

SHA256_BYTES = 32


class StoredPayload(bytes):
    """A payload that is stored apart. As bytes it is its reference.

    Attributes:
        sha256: Of the JSON text, 32 bytes.
        size_bytes: Of the JSON text.
        checked: Whether it is known to be stored where the command may refer to it, and was held to its schema.
        refusal: Why it cannot be accepted; None where it can, or is not checked.
    """

    sha256: bytes
    size_bytes: int
    checked: bool
    refusal: Rejection | None

    def __new__(
        cls, sha256: bytes, size_bytes: int, *, checked: bool = False, refusal: Rejection | None = None
    ) -> Self:
        """Makes the reference.

        Raises:
            ValueError: It names no payload: the hash has not 32 bytes, or the size is not positive.
        """
        if len(sha256) != SHA256_BYTES or size_bytes < 1:
            raise ValueError(f"no payload has {len(sha256)} bytes of SHA-256 and {size_bytes} bytes of text")
        made = super().__new__(cls, f'{_HEAD}{sha256.hex()} {size_bytes}"'.encode())
        made.sha256, made.size_bytes, made.checked, made.refusal = sha256, size_bytes, checked, refusal
        return made


def is_reference(text: str) -> bool:
    """Whether a stored text is a reference."""
    return text.startswith(_HEAD)


def reference_in(text: str) -> StoredPayload | None:
    """Returns what a stored text refers to; None where it is a payload itself."""
    found = _REFERENCE.fullmatch(text) if is_reference(text) else None
    return StoredPayload(bytes.fromhex(found[1]), int(found[2])) if found else None
