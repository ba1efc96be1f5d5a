"""How the SDK connects: address, credentials, and the settings of the channel."""

import os
from dataclasses import dataclass, replace

import grpc

from stageline_sdk.tls import TlsConfig

ADDRESS_DEFAULT = "127.0.0.1:7460"
NAMESPACE_DEFAULT = "default"

# A run's whole state, with the outputs of many stages, is larger than gRPC's default of 4 MiB.
_RECEIVED_BYTES_MAX = 64 * 1024 * 1024

_OPTIONS: tuple[tuple[str, int], ...] = (
    # A dead peer is found in 40 s, also behind a proxy that keeps the connection open. Servers permit 20 s.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.max_pings_without_data", 0),
    # The SDK has its own backoff; gRPC's would answer from a memory of the last failure for up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.max_receive_message_length", _RECEIVED_BYTES_MAX),
)


@dataclass(frozen=True, slots=True)
class Connection:
    """Where a server is, and how to speak to it.

    Attributes:
        target: Host and port.
        tls: How the connection is encrypted; None where it is not.
        token: Sent with each call; empty for none.
    """

    target: str
    tls: TlsConfig | None = None
    token: str = ""

    @classmethod
    def to(
        cls,
        address: "str | Connection | None" = None,
        token: str | None = None,
        tls: TlsConfig | None = None,
    ) -> "Connection":
        """Return the connection to an address; a connection is returned as it is.

        Args:
            address: `host:port`, or `https://host:port` for an encrypted connection. Default: the environment's
                STAGELINE_ADDRESS, else 127.0.0.1:7460.
            token: Default: the environment's STAGELINE_TOKEN, else none.
            tls: Default: what the environment's STAGELINE_TLS_CA and its like say. Without either, an address with
                `https://` trusts what the machine trusts, and any other is not encrypted.

        Raises:
            ValueError: The address has no port, or a scheme that does not fit, or a certificate cannot be read.
        """
        if isinstance(address, Connection):
            return address
        address = address or os.environ.get("STAGELINE_ADDRESS") or ADDRESS_DEFAULT
        token = os.environ.get("STAGELINE_TOKEN", "") if token is None else token
        scheme, separator, rest = address.partition("://")
        target = (rest if separator else address).rstrip("/")
        if separator and scheme not in ("http", "https"):
            raise ValueError(f"address {address!r}: use host:port, http://host:port or https://host:port")
        host, _, port = target.rpartition(":")
        if not host or not port.isdecimal():
            raise ValueError(f"address {address!r} has no port: use host:port, such as {ADDRESS_DEFAULT}")
        return cls(target, _tls_for(address, scheme if separator else "", tls), token)

    def moved_to(self, address: str) -> "Connection":
        """Return the connection to another server of the same kind, as a server that drains names it."""
        return replace(self, target=address.partition("://")[2] or address)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What is sent with each call."""
        return (("authorization", f"Bearer {self.token}"),) if self.token else ()

    def open(self) -> grpc.aio.Channel:
        """Return a new channel, bound to the running loop. It connects at the first call."""
        if self.tls is not None:
            ca, certificate, key = self.tls.read()
            credentials = grpc.ssl_channel_credentials(ca, key, certificate)
            return grpc.aio.secure_channel(self.target, credentials, options=_OPTIONS)
        return grpc.aio.insecure_channel(self.target, options=_OPTIONS)


def _tls_for(address: str, scheme: str, tls: TlsConfig | None) -> TlsConfig | None:
    """Return how to encrypt; None for not at all. Files that cannot be read are found now rather than at the first call."""
    if scheme == "http" and tls is not None:
        raise ValueError(f"address {address!r} is not encrypted, but tls is given: use https://host:port")
    if scheme != "http" and tls is None:
        tls = TlsConfig.of_environment() or (TlsConfig() if scheme == "https" else None)
    if tls is not None:
        tls.read()
    return tls
