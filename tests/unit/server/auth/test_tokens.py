"""Making tokens: what they may be, and that their secret is nowhere but in the answer."""

import hashlib
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from stageline_engine.limits import ACCESS_TOKEN_LIFETIME_MAX, ACCESS_TOKEN_WORKFLOWS_MAX, NAME_LENGTH_MAX
from stageline_engine.model.access import Scope
from stageline_engine.testing.clock import EPOCH
from stageline_server.auth.tokens import TokenWish, faults, issue

WORKER = TokenWish("acme", "ci", frozenset({Scope.WORKER}))
MOMENT = timedelta(microseconds=1)


def test_a_secret_is_long_and_only_its_hash_is_kept() -> None:
    first, second = (issue(WORKER, UUID(int=number), EPOCH) for number in (1, 2))
    assert first.secret.startswith("stl_")
    assert len(first.secret) == 47
    assert first.secret != second.secret
    assert first.token.secret_sha256 == hashlib.sha256(first.secret.encode()).digest()
    assert first.secret not in repr(first.token)


def test_a_token_is_as_it_was_wished() -> None:
    wish = replace(WORKER, workflow_names=("b", "a", "b"), expire_after=timedelta(days=1))
    made = issue(wish, UUID(int=1), EPOCH).token
    assert (made.namespace, made.name, set(made.scopes)) == ("acme", "ci", {Scope.WORKER})
    assert (made.workflow_names, made.expires_at) == (("a", "b"), EPOCH + timedelta(days=1))
    assert issue(WORKER, UUID(int=1), EPOCH).token.expires_at is None


@pytest.mark.parametrize(
    "wish",
    [
        WORKER,
        replace(WORKER, name="n" * NAME_LENGTH_MAX),
        replace(WORKER, workflow_names=tuple(f"w{n}" for n in range(ACCESS_TOKEN_WORKFLOWS_MAX))),
        replace(WORKER, expire_after=MOMENT),
        replace(WORKER, expire_after=ACCESS_TOKEN_LIFETIME_MAX),
        TokenWish("*", "operator", frozenset({Scope.ADMIN})),
        TokenWish("acme", "all", frozenset(Scope), ("a",)),
    ],
)
def test_what_may_be_wished(wish: TokenWish) -> None:
    assert list(faults(wish)) == []


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        (replace(WORKER, namespace="No"), "namespace"),
        (replace(WORKER, name=""), "name"),
        (replace(WORKER, name="n" * (NAME_LENGTH_MAX + 1)), "name"),
        (replace(WORKER, name="a\0"), "name"),
        (replace(WORKER, scopes=frozenset()), "scopes"),
        (replace(WORKER, namespace="*"), "scopes"),
        (TokenWish("*", "o", frozenset({Scope.ADMIN, Scope.CLIENT})), "scopes"),
        (replace(WORKER, workflow_names=("Not Valid",)), "workflow_names.0"),
        (
            replace(WORKER, workflow_names=tuple(f"w{n}" for n in range(ACCESS_TOKEN_WORKFLOWS_MAX + 1))),
            "workflow_names",
        ),
        (TokenWish("acme", "c", frozenset({Scope.CLIENT}), ("a",)), "workflow_names"),
        (replace(WORKER, expire_after=timedelta(0)), "expire_after"),
        (replace(WORKER, expire_after=ACCESS_TOKEN_LIFETIME_MAX + MOMENT), "expire_after"),
    ],
)
def test_what_may_not(wish: TokenWish, field: str) -> None:
    assert [fault.field for fault in faults(wish)] == [field]
