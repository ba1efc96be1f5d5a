"""Encrypted connections: whom to trust, and how to show who you are."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """An encrypted connection. All files are PEM; they are read anew at each connection, so that they may be replaced.

    Attributes:
        ca: Certificates, one of which must have signed the server's. None trusts what the machine trusts.
        client_cert: Your own certificate chain, for a server that asks for one (mTLS). None for none.
        client_key: Its private key; there exactly where `client_cert` is.

    Example:
        Client("stageline.internal:7460", tls=TlsConfig(ca="/etc/stageline/ca.pem"))
    """

    ca: str | Path | None = None
    client_cert: str | Path | None = None
    client_key: str | Path | None = None

    def __post_init__(self) -> None:
        if (self.client_cert is None) is not (self.client_key is None):
            raise ValueError("client_cert and client_key go together: give both or none")

    @classmethod
    def of_environment(cls) -> "TlsConfig | None":
        """Return what STAGELINE_TLS_CA, STAGELINE_TLS_CLIENT_CERT and STAGELINE_TLS_CLIENT_KEY say; None if none is set.

        Raises:
            ValueError: One of the last two is set without the other.
        """
        ca, cert, key = (
            os.environ.get(f"STAGELINE_TLS_{name}") for name in ("CA", "CLIENT_CERT", "CLIENT_KEY")
        )
        if bool(cert) is not bool(key):
            raise ValueError(
                "STAGELINE_TLS_CLIENT_CERT and STAGELINE_TLS_CLIENT_KEY go together: set both or none"
            )
        return cls(ca or None, cert or None, key or None) if ca or cert else None

    def read(self) -> tuple[bytes | None, bytes | None, bytes | None]:
        """Return the contents of the three files.

        Raises:
            ValueError: One cannot be read.
        """
        return _content(self.ca), _content(self.client_cert), _content(self.client_key)


def _content(path: str | Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
