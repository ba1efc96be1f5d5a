"""The gate: what it asks the store, what it remembers, and what ends with a token."""

import asyncio
import hashlib
from datetime import timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from stageline_engine.adapters.memory.state import MemoryState
from stageline_engine.adapters.memory.tokens import MemoryTokenStore
from stageline_engine.errors import StorageUnavailableError
from stageline_engine.model.access import AccessToken, Scope
from stageline_engine.ports import LOOK_AT_EVERYTHING, Hint
from stageline_engine.testing.clock import VirtualClock
from stageline_engine.testing.conformance.tokens import token
from stageline_server.auth import gate as gates
from stageline_server.auth.gate import REMEMBERED_MAX, Gate
from stageline_server.auth.rules import ADMINS, CLIENTS, OPERATORS, Rule
from stageline_server.errors import RefusedError

SECRET = "stl_secret"
BEARER = (("user-agent", "x"), ("authorization", f"Bearer {SECRET}"))


class Store(MemoryTokenStore):
    """Counts what it is asked; a test may make it slow, or send it away."""

    def __init__(self) -> None:
        super().__init__(MemoryState())
        self.looks = self.reads = 0
        self.asked, self.answers = asyncio.Event(), asyncio.Event()
        self.answers.set()
        self.away = 0

    async def find(self, secret_sha256: bytes) -> AccessToken | None:
        self.looks += 1
        found = await super().find(secret_sha256)
        self.asked.set()
        await self.answers.wait()
        return found

    async def read(self, token_ids: object) -> list[AccessToken]:
        self.reads += 1
        if self.away:
            self.away -= 1
            raise StorageUnavailableError("away")
        return list(await super().read(token_ids))  # type: ignore[arg-type]


class Scene:
    """A gate, with one token behind it."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.store = Store()
        self.gate = Gate(self.store, self.clock)
        digest = hashlib.sha256(SECRET.encode()).digest()
        self.token = replace(
            token(1), secret_sha256=digest, scopes=frozenset({Scope.CLIENT}), created_at=self.clock.now()
        )

    async def open(self, **fields: object) -> None:
        self.token = replace(self.token, **fields)
        await self.store.add(self.token)
        self.store.looks = 0

    async def admit(self, rule: Rule | None = CLIENTS) -> AccessToken:
        return await self.gate.admit(BEARER, rule)

    async def refused(self, rule: Rule | None = CLIENTS) -> str:
        with pytest.raises(RefusedError) as raised:
            await self.admit(rule)
        return raised.value.refusal.reason

    async def revoke(self) -> None:
        await self.store.revoke(self.token.id, None, self.clock.now())


@pytest.fixture
def scene() -> Scene:
    return Scene()


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("authorization", ""),),
        (("authorization", SECRET),),
        (("authorization", f"Basic {SECRET}"),),
        (("authorization", f"Bearer {'x' * 600}"),),
        (("authorization", f"Bearer {SECRET}".encode()),),
        (("token", f"Bearer {SECRET}"),),
    ],
)
async def test_without_a_token_nothing_is_asked(scene: Scene, metadata: gates.Metadata) -> None:
    await scene.open()
    with pytest.raises(RefusedError, match="STAGELINE_TOKEN"):
        await scene.gate.admit(metadata, CLIENTS)
    assert scene.store.looks == 0


async def test_a_token_is_looked_up_once(scene: Scene) -> None:
    await scene.open()
    for _ in range(5):
        assert await scene.admit() == scene.token
    assert scene.store.looks == 1


async def test_an_unknown_token_is_looked_up_once(scene: Scene) -> None:
    assert [await scene.refused() for _ in range(3)] == ["UNAUTHENTICATED"] * 3
    assert scene.store.looks == 1


async def test_no_more_is_remembered_than_fits(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "REMEMBERED_MAX", 2)
    assert REMEMBERED_MAX == 10_000
    await scene.open()
    await scene.admit()
    for number in range(2):
        with pytest.raises(RefusedError):
            await scene.gate.admit((("authorization", f"Bearer {number}"),), CLIENTS)
    await scene.admit()
    assert scene.store.looks == 4


async def test_what_is_remembered_is_looked_up_again_in_time(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gates, "REMEMBERED_FOR", timedelta(0))
    await scene.open()
    await scene.admit()
    await scene.revoke()  # without a hint
    assert await scene.refused() == "UNAUTHENTICATED"


async def test_scopes_and_bounds(scene: Scene) -> None:
    await scene.open()
    assert await scene.refused(ADMINS) == "PERMISSION_DENIED"
    assert await scene.refused(None) == "PERMISSION_DENIED"
    scene.gate.take(LOOK_AT_EVERYTHING)
    await scene.store.revoke(scene.token.id, None, scene.clock.now())
    assert await scene.refused(ADMINS) == "UNAUTHENTICATED"


async def test_an_admin_of_one_namespace_is_no_operator(scene: Scene) -> None:
    await scene.open(scopes=frozenset({Scope.ADMIN}))
    assert await scene.refused(OPERATORS) == "PERMISSION_DENIED"


async def test_an_operator_is(scene: Scene) -> None:
    await scene.open(scopes=frozenset({Scope.ADMIN}), namespace="*")
    await scene.admit(OPERATORS)


async def test_a_token_expires_at_its_moment(scene: Scene) -> None:
    await scene.open(expires_at=scene.clock.now() + timedelta(seconds=10))
    scene.clock.advance(timedelta(seconds=9.999))
    await scene.admit()
    scene.clock.advance(timedelta(seconds=0.001))
    with pytest.raises(RefusedError, match="has expired"):
        await scene.admit()


async def test_a_hint_ends_what_lives_and_what_is_remembered(scene: Scene) -> None:
    await scene.open()
    ended: list[str] = []
    with scene.gate.living(await scene.admit()) as grant:
        grant.on_end(lambda: ended.append("first"))
        unsubscribe = grant.on_end(lambda: ended.append("second"))
        unsubscribe()
        scene.gate.take(Hint(revoked_tokens=frozenset({UUID(int=9)})))
        assert ended == []
        await scene.revoke()
        scene.gate.take(Hint(revoked_tokens=frozenset({scene.token.id})))
        assert ended == ["first"]
        grant.on_end(lambda: ended.append("late"))
        assert ended == ["first", "late"]
    with pytest.raises(RefusedError, match="was revoked"):
        await scene.admit()


async def test_what_is_over_is_not_ended(scene: Scene) -> None:
    await scene.open()
    with scene.gate.living(await scene.admit()) as grant:
        pass
    scene.gate.take(Hint(revoked_tokens=frozenset({scene.token.id})))
    assert not grant.ended


async def test_a_revocation_in_the_middle_of_a_look_up_is_seen(scene: Scene) -> None:
    await scene.open()
    scene.store.answers.clear()
    admitted = asyncio.create_task(scene.admit())
    await scene.store.asked.wait()  # the store has read the token, and its answer is on the way
    await scene.revoke()
    scene.gate.take(Hint(revoked_tokens=frozenset({scene.token.id})))
    scene.store.answers.set()
    with pytest.raises(RefusedError, match="was revoked"):
        await admitted


async def test_hints_that_were_lost_are_made_up_for(scene: Scene) -> None:
    await scene.open()
    scene.store.away = 1
    with scene.gate.living(await scene.admit()) as grant:
        over = asyncio.Event()
        grant.on_end(over.set)
        await scene.revoke()  # nobody heard of it
        scene.gate.take(LOOK_AT_EVERYTHING)
        scene.gate.take(LOOK_AT_EVERYTHING)
        await asyncio.wait_for(over.wait(), 20)
    assert scene.store.reads == 2
    assert await scene.refused() == "UNAUTHENTICATED"
    await scene.gate.stop()


async def test_what_still_counts_lives_on(scene: Scene) -> None:
    await scene.open()
    with scene.gate.living(await scene.admit()) as grant:
        scene.gate.take(LOOK_AT_EVERYTHING)
        assert scene.gate._rechecking is not None
        await scene.gate._rechecking
        assert not grant.ended


async def test_a_living_token_ends_by_itself_at_its_time(scene: Scene) -> None:
    await scene.open(expires_at=scene.clock.now() + timedelta(milliseconds=1))
    with scene.gate.living(await scene.admit()) as grant:
        over = asyncio.Event()
        grant.on_end(over.set)
        await asyncio.wait_for(over.wait(), 20)
