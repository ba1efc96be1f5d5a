"""Addresses, waits, and what a client can be made with."""

import random
from datetime import timedelta

import pytest

from stageline_sdk import Client
from stageline_sdk._backoff import Backoff
from stageline_sdk._connection import Connection


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STAGELINE_ADDRESS", raising=False)
    monkeypatch.delenv("STAGELINE_TOKEN", raising=False)


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
    assert (connection.target, connection.is_secure) == (target, is_secure)
    assert connection.metadata == ()


@pytest.mark.parametrize("address", ["host", "host:port", ":7460", "ftp://host:21", "host:"])
def test_malformed_addresses_are_refused(address: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        Client(address)


def test_the_environment_names_address_and_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAGELINE_ADDRESS", "https://there:1")
    monkeypatch.setenv("STAGELINE_TOKEN", "secret")
    connection = Connection.to()
    assert (connection.target, connection.is_secure) == ("there:1", True)
    assert connection.metadata == (("authorization", "Bearer secret"),)
    assert Connection.to("here:2", token="").metadata == ()
    assert connection.moved_to("elsewhere:3") == Connection("elsewhere:3", is_secure=True, token="secret")


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
