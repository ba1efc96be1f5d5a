"""Addresses, waits, and what a client can be made with."""

import random
from datetime import timedelta
from pathlib import Path

import pytest

from stageline_sdk import Client, TlsConfig
from stageline_sdk._backoff import Backoff
from stageline_sdk._connection import Connection


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STAGELINE_ADDRESS", raising=False)
    monkeypatch.delenv("STAGELINE_TOKEN", raising=False)
    for name in ("CA", "CLIENT_CERT", "CLIENT_KEY"):
        monkeypatch.delenv(f"STAGELINE_TLS_{name}", raising=False)


@pytest.mark.parametrize(
    ("address", "target", "is_secure"),
    [
        ("127.0.0.1:7460", "127.0.0.1:7460", False),
        ("http://host:80", "host:80", False),
        ("https://host:443/", "host:443", True),
        ("[::1]:7460", "[::1]:7460", False),
        (None, "127.0.0.1:7460", False),
    ],
)
def test_addresses(address: str | None, target: str, is_secure: bool) -> None:
    connection = Connection.to(address)
    assert (connection.target, connection.tls is not None) == (target, is_secure)
    assert connection.metadata == ()


@pytest.mark.parametrize("address", ["host", "host:port", ":7460", "ftp://host:21", "host:"])
def test_malformed_addresses_are_refused(address: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        Client(address)


def test_the_environment_names_address_and_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGELINE_ADDRESS", "https://there:1")
    monkeypatch.setenv("STAGELINE_TOKEN", "secret")
    connection = Connection.to()
    assert (connection.target, connection.tls) == ("there:1", TlsConfig())
    assert connection.metadata == (("authorization", "Bearer secret"),)
    assert Connection.to("here:2", token="").metadata == ()
    assert connection.moved_to("elsewhere:3") == Connection("elsewhere:3", TlsConfig(), "secret")


def test_the_environment_names_certificates(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ca, cert, key = (tmp_path / name for name in ("ca.pem", "cert.pem", "key.pem"))
    for path in (ca, cert, key):
        path.write_text(path.stem)
    monkeypatch.setenv("STAGELINE_TLS_CA", str(ca))
    assert Connection.to("here:1").tls == TlsConfig(str(ca))
    assert Connection.to("http://here:1").tls is None
    assert Connection.to("here:1", tls=TlsConfig()).tls == TlsConfig()
    monkeypatch.setenv("STAGELINE_TLS_CLIENT_CERT", str(cert))
    with pytest.raises(ValueError, match="STAGELINE_TLS_CLIENT_KEY go together"):
        Connection.to("here:1")
    monkeypatch.setenv("STAGELINE_TLS_CLIENT_KEY", str(key))
    tls = Connection.to("here:1").tls
    assert tls is not None
    assert tls.read() == (b"ca", b"cert", b"key")


def test_certificates_that_cannot_be_used_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"absent.pem cannot be read: No such file"):
        Client("here:1", tls=TlsConfig(ca=tmp_path / "absent.pem"))
    with pytest.raises(ValueError, match="use https://host:port"):
        Client("http://here:1", tls=TlsConfig())
    with pytest.raises(ValueError, match="give both or none"):
        TlsConfig(client_cert="a.pem")


def test_waits_are_random_below_a_bound_that_doubles_up_to_the_longest() -> None:
    backoff = Backoff(timedelta(seconds=1), timedelta(seconds=10), random.Random(7))
    for bound in (1, 2, 4, 8, 10, 10):
        assert 0 <= backoff.next_seconds() <= bound
    waits = [backoff.next_seconds() for _ in range(200)]
    assert max(waits) > 9
    assert min(waits) < 1
    assert backoff.next_seconds(at_most=timedelta(seconds=0.5)) <= 0.5
    backoff.reset()
    assert backoff.next_seconds() <= 1


def test_a_wait_after_very_many_tries_is_still_a_number() -> None:
    backoff = Backoff(timedelta(seconds=1), timedelta(seconds=10))
    for _ in range(5000):
        assert backoff.next_seconds() <= 10
