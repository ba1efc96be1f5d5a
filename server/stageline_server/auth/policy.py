"""Whether a server asks who calls, and whether it encrypts: by its settings, and by where it listens."""

import ipaddress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

if TYPE_CHECKING:
    from stageline_server.settings import Settings


class TokenPolicy(StrEnum):
    """Whether calls need a token."""

    AUTO = "auto"
    REQUIRED = "required"
    OFF = "off"


class SecurityError(Exception):
    """A server would be open to others than those that it is meant for. The message says what to set."""


@dataclass(frozen=True, slots=True)
class Security:
    """How a server protects itself.

    Attributes:
        tokens: Whether calls need a token.
        credentials: With which it encrypts; None where it does not.
    """

    tokens: bool
    credentials: grpc.ServerCredentials | None


def security_of(settings: "Settings") -> Security:
    """Returns how a server protects itself.

    Raises:
        SecurityError: It would listen beyond this machine without tokens or without TLS, or a file cannot be read.
    """
    encrypts = settings.tls_cert is not None
    beyond = not is_loopback(settings.listen)
    wanted = settings.tokens
    tokens = wanted is TokenPolicy.REQUIRED or (
        wanted is TokenPolicy.AUTO and beyond and not settings.insecure
    )
    if beyond and not settings.insecure and not (encrypts and tokens):
        missing = "TLS" if tokens else "tokens" if encrypts else "TLS and tokens"
        raise SecurityError(
            f"{settings.listen} can be reached from other machines, and there would be no {missing}. Set "
            "STAGELINE_TLS_CERT and STAGELINE_TLS_KEY, and leave STAGELINE_TOKENS at auto; or listen on 127.0.0.1; or, in a "
            "network that you trust or behind a proxy that does both, give --insecure."
        )
    return Security(tokens, _credentials(settings) if encrypts else None)


def is_loopback(listen: str) -> bool:
    """Whether an address can be reached from this machine alone."""
    if listen.startswith("unix:"):
        return True
    host = listen.rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _credentials(settings: "Settings") -> grpc.ServerCredentials:
    cert, key, client_ca = settings.tls_cert, settings.tls_key, settings.tls_client_ca
    assert cert is not None, "asked for only where there is a certificate"
    assert key is not None, "the settings have both or none"
    authority = _read(client_ca, "TLS_CLIENT_CA") if client_ca is not None else None
    return grpc.ssl_server_credentials(
        [(_read(key, "TLS_KEY"), _read(cert, "TLS_CERT"))],
        root_certificates=authority,
        require_client_auth=authority is not None,
    )


def _read(path: Path, setting: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SecurityError(f"STAGELINE_{setting}: {path} cannot be read: {error.strerror}") from error
