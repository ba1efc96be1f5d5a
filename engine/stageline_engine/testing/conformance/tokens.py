"""What a TokenStore must do. It stands alone: the suite is given the port itself."""

from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from uuid import UUID

from msgspec.structs import replace

from stageline_engine.errors import ConcurrentChangeError
from stageline_engine.model.access import ALL_NAMESPACES, AccessToken, Scope
from stageline_engine.ports import TokenStore
from stageline_engine.testing.expectations import raises

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def token(number: int, namespace: str = "default", expires_at: datetime | None = None) -> AccessToken:
    """A token whose id and hash are told by a number."""
    scopes = frozenset({Scope.CLIENT, Scope.WORKER})
    digest = number.to_bytes(32, "big")
    return AccessToken(
        UUID(int=number), namespace, f"n° {number}", scopes, ("a", "b-c"), digest, NOW, expires_at
    )


class TokenConformance(ABC):
    """A token that was revoked never counts again, and none is told to another namespace."""

    @abstractmethod
    def tokens(self) -> AbstractAsyncContextManager[TokenStore]:
        """Yields an empty store. Called once for each test."""

    async def test_a_token_comes_back_as_it_was_added(self) -> None:
        async with self.tokens() as store:
            plain = replace(token(2), scopes=frozenset({Scope.ADMIN}), workflow_names=(), expires_at=LATER)
            for added in (token(1), plain):
                await store.add(added)
                assert await store.find(added.secret_sha256) == added
            assert list(await store.read([UUID(int=2), UUID(int=1), UUID(int=9)])) == [token(1), plain]
            assert list(await store.read([])) == []
            assert await store.find(b"another") is None

    async def test_ids_and_hashes_are_never_given_twice(self) -> None:
        async with self.tokens() as store:
            await store.add(token(1))
            with raises(ConcurrentChangeError):
                await store.add(replace(token(2), id=UUID(int=1)))
            with raises(ConcurrentChangeError):
                await store.add(replace(token(2), secret_sha256=token(1).secret_sha256))
            assert list(await store.read([UUID(int=1), UUID(int=2)])) == [token(1)]

    async def test_a_namespace_lists_its_own(self) -> None:
        async with self.tokens() as store:
            for one in (token(3), token(1), token(2, "another"), token(4, ALL_NAMESPACES)):
                await store.add(one)
            for namespace, numbers in (
                ("default", [1, 3]),
                ("another", [2]),
                (ALL_NAMESPACES, [4]),
                ("x", []),
            ):
                found = await store.list(namespace, include_ended=True, now=NOW, after=None, limit=10)
                assert [one.id.int for one in found] == numbers

    async def test_lists_are_cut_and_go_on(self) -> None:
        async with self.tokens() as store:
            for number in (1, 2, 3):
                await store.add(token(number))
            first = await store.list("default", include_ended=False, now=NOW, after=None, limit=2)
            rest = await store.list("default", include_ended=False, now=NOW, after=UUID(int=2), limit=2)
            assert [one.id.int for one in (*first, *rest)] == [1, 2, 3]

    async def test_the_ended_are_listed_on_request_only(self) -> None:
        async with self.tokens() as store:
            for one in (token(1), token(2, expires_at=LATER), token(3)):
                await store.add(one)
            await store.revoke(UUID(int=3), "default", NOW)
            for now, numbers in ((NOW, [1, 2]), (LATER, [1])):
                found = await store.list("default", include_ended=False, now=now, after=None, limit=10)
                assert [one.id.int for one in found] == numbers
            found = await store.list("default", include_ended=True, now=LATER, after=None, limit=10)
            assert [one.id.int for one in found] == [1, 2, 3]

    async def test_revoking_keeps_the_first_time(self) -> None:
        async with self.tokens() as store:
            await store.add(token(1))
            assert await store.revoke(UUID(int=1), "default", NOW) == replace(token(1), revoked_at=NOW)
            assert await store.revoke(UUID(int=1), None, LATER) == replace(token(1), revoked_at=NOW)
            found = await store.find(token(1).secret_sha256)
            assert found is not None
            assert not found.counts(NOW)

    async def test_only_its_own_namespace_revokes_a_token(self) -> None:
        async with self.tokens() as store:
            await store.add(token(1))
            assert await store.revoke(UUID(int=1), "another", NOW) is None
            assert await store.revoke(UUID(int=9), None, NOW) is None
            found = await store.find(token(1).secret_sha256)
            assert found is not None
            assert found.revoked_at is None
