"""A plugin that posts events to a URL, signed as https://www.standardwebhooks.com says, so that any of its libraries verifies."""

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Sequence
from datetime import timedelta
from http import HTTPStatus
from http.client import HTTPConnection, HTTPSConnection
from urllib.parse import SplitResult, urlsplit

from stageline_engine.plugins.definition import (
    TIMEOUT_DEFAULT,
    Plugin,
    PluginError,
    PluginEvent,
    define_plugin,
)

SECRET_PREFIX = "whsec_"
SECRET_BYTES_MIN = 16
ANSWER_SHOWN_BYTES = 500
"""How much of a refusing answer is kept with the event."""


class WebhookRefusedError(Exception):
    """The receiver answered with something else than 2xx."""


def webhook(
    name: str,
    url: str,
    *,
    on: Sequence[str] = ("*",),
    secret: str = "",
    headers: dict[str, str] | None = None,
    timeout: timedelta = TIMEOUT_DEFAULT,
) -> Plugin:
    """Makes a plugin that posts each event as JSON. Only an answer of 2xx within the timeout means that it was taken.

    Args:
        name: Of the plugin.
        url: ``http://`` or ``https://``. Redirects are not followed.
        on: Event types, as for ``define_plugin``. Default: all.
        secret: Signs the requests: ``whsec_`` and base64, or any text of at least 16 bytes. Default: not signed.
        headers: More headers, such as one for authorization.
        timeout: The longest that one request may take. Default: 10 seconds.

    Raises:
        PluginError: The URL or the secret breaks its rule; or as for ``define_plugin``.
    """
    target = urlsplit(url)
    if target.scheme not in ("http", "https") or not target.hostname:
        raise PluginError(f"webhook {name!r}: the URL must begin with http:// or https:// and name a host")
    key = _key(name, secret) if secret else b""

    def post(event: PluginEvent) -> None:
        body = event.as_json()
        sent = {"Content-Type": "application/json", "User-Agent": "stageline", **(headers or {})}
        sent |= signed_headers(key, event.id, int(time.time()), body)
        _post(target, body, sent, timeout)

    return define_plugin(name, on, post, timeout=timeout)


def signed_headers(key: bytes, event_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Returns the headers that name a message and prove where it is from; without a key they only name it."""
    named = {"webhook-id": event_id, "webhook-timestamp": str(timestamp)}
    return named | {"webhook-signature": signature(key, event_id, timestamp, body)} if key else named


def signature(key: bytes, event_id: str, timestamp: int, body: bytes) -> str:
    """Returns the signature of a message: HMAC-SHA256 over id, time and body, in base64."""
    digest = hmac.new(key, f"{event_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def _key(name: str, secret: str) -> bytes:
    try:
        text = secret.removeprefix(SECRET_PREFIX)
        key = base64.b64decode(text, validate=True) if secret.startswith(SECRET_PREFIX) else text.encode()
    except binascii.Error:
        raise PluginError(
            f"webhook {name!r}: after {SECRET_PREFIX} the secret must be base64, and is not"
        ) from None
    if len(key) < SECRET_BYTES_MIN:
        raise PluginError(
            f"webhook {name!r}: the secret must hold at least {SECRET_BYTES_MIN} bytes, but holds {len(key)}"
        )
    return key


def _post(target: SplitResult, body: bytes, headers: dict[str, str], timeout: timedelta) -> None:
    connect = HTTPSConnection if target.scheme == "https" else HTTPConnection
    assert target.hostname is not None
    connection = connect(target.hostname, target.port, timeout=timeout.total_seconds())
    path = (target.path or "/") + (f"?{target.query}" if target.query else "")
    try:
        connection.request("POST", path, body, headers)
        with connection.getresponse() as answer:
            said = answer.read(ANSWER_SHOWN_BYTES)
    finally:
        connection.close()
    if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        raise WebhookRefusedError(f"HTTP {answer.status} {answer.reason}: {said.decode(errors='replace')}")
