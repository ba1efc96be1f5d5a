"""Whether a server asks who calls, and whether it encrypts: by its settings, and by where it listens."""

import ipaddress
import logging
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import grpc

if TYPE_CHECKING:
    from stageline_server.settings import Settings


_log = logging.getLogger(__name__)


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
    """Credentials that follow their files: a certificate that was renewed counts from the next connection on."""
    first = _certificates(settings)
    known = first

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        nonlocal known
        try:
            found = _certificates(settings)
        except SecurityError as error:
            _log.warning("the certificate stays as it was: %s", error)
            return None
        if found == known:
            return None
        known = found
        _log.info("the certificate was renewed")
        return found.configuration()

    return grpc.dynamic_ssl_server_credentials(
        first.configuration(),
        renewed,  # type: ignore[arg-type]  # None says that nothing has changed; the stubs do not know of it
        require_client_authentication=settings.tls_client_ca is not None,
    )


class _Certificates(NamedTuple):
    """What the files hold, PEM."""

    key: bytes
    chain: bytes
    authority: bytes | None

    def configuration(self) -> grpc.ServerCertificateConfiguration:
        return grpc.ssl_server_certificate_configuration([(self.key, self.chain)], self.authority)


def _certificates(settings: "Settings") -> _Certificates:
    cert, key, client_ca = settings.tls_cert, settings.tls_key, settings.tls_client_ca
    assert cert is not None, "asked for only where there is a certificate"
    assert key is not None, "the settings have both or none"
    authority = _read(client_ca, "TLS_CLIENT_CA") if client_ca is not None else None
    return _Certificates(_read(key, "TLS_KEY"), _read(cert, "TLS_CERT"), authority)


def _read(path: Path, setting: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SecurityError(f"STAGELINE_{setting}: {path} cannot be read: {error.strerror}") from error
