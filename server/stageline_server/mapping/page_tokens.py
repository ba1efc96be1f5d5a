"""Page tokens: opaque, and good only for the list and the filters that they were made for.

A token is no secret and grants nothing: it holds where the page before ended, and a digest that binds it to its list.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Callable
from typing import TypeVar

from stageline_server.errors import Refusal, RefusedError

Position = TypeVar("Position")
Binding = tuple[object, ...]
"""The method and the filters of a list: whatever changes what a position means. Of texts, numbers, lists and None."""

_DIGEST_BYTES = 12


def page_token(binding: Binding, position: object) -> str:
    """Returns the token of the page after a position; its text must be readable by the ``parse`` of ``position_of``."""
    return base64.urlsafe_b64encode(_digest(binding) + str(position).encode()).decode().rstrip("=")


def position_of(token: str, binding: Binding, parse: Callable[[str], Position]) -> Position | None:
    """Returns where the page before ended; None for the empty token of the first page.

    Args:
        token: As the caller gave it.
        binding: As it was when the token was made.
        parse: From the position's text; raises ValueError where it is none.

    Raises:
        RefusedError: The token was not made for this list with these filters. PAGE_TOKEN_INVALID.
    """
    if not token:
        return None
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        if raw[:_DIGEST_BYTES] != _digest(binding):
            raise ValueError("bound to another list")
        return parse(raw[_DIGEST_BYTES:].decode())
    except (ValueError, binascii.Error):
        message = "The page token was not made by this method with these filters. Start at the first page."
        raise RefusedError(Refusal("PAGE_TOKEN_INVALID", message)) from None


def _digest(binding: Binding) -> bytes:
    return hashlib.sha256(json.dumps(binding).encode()).digest()[:_DIGEST_BYTES]
