"""Hints as texts: whatever is announced fits, and nothing that must arrive is left out."""

from datetime import UTC
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stageline_engine.adapters.postgres import hints
from stageline_engine.commands import LeaseReference
from stageline_engine.ports import Hint

LEASES = st.builds(LeaseReference, st.uuids(), st.uuids(), st.uuids(), st.integers(1, 2000))
HINTS = st.builds(
    Hint,
    routes=st.frozensets(st.integers(1, 2**31 - 1), max_size=20),
    runs=st.frozensets(st.uuids(), max_size=20),
    stopped=st.lists(LEASES, max_size=hints.STOPPED_MAX).map(tuple),
    wake_at=st.none() | st.datetimes(timezones=st.just(UTC)),
    all_runs=st.just(False),
    revoked_tokens=st.frozensets(st.uuids(), max_size=hints.TOKENS_MAX),
)


@settings(max_examples=50)
@given(HINTS)
def test_a_hint_comes_back_whole(hint: Hint) -> None:
    [text] = hints.encode(hint)
    assert hints.decode(text) == hint


@settings(max_examples=20)
@given(
    routes=st.integers(0, 2000),
    runs=st.integers(0, 2000),
    stopped=st.lists(LEASES, max_size=1).flatmap(
        lambda one: st.integers(0, 1000).map(lambda n: tuple(one * n))
    ),
)
def test_much_is_told_in_several_texts(routes: int, runs: int, stopped: tuple[LeaseReference, ...]) -> None:
    first = 2**31 - 1 - routes
    hint = Hint(
        routes=frozenset(range(first, first + routes)),
        runs=frozenset(UUID(int=n) for n in range(runs)),
        stopped=stopped,
        revoked_tokens=frozenset(UUID(int=n) for n in range(runs)),
    )
    texts = hints.encode(hint)
    told = [hints.decode(text) for text in texts]
    assert max(len(text.encode()) for text in texts) <= hints.PAYLOAD_BYTES_MAX
    assert frozenset().union(*(one.routes for one in told)) == hint.routes
    assert tuple(lease for one in told for lease in one.stopped) == hint.stopped
    assert frozenset().union(*(one.revoked_tokens for one in told)) == hint.revoked_tokens
    assert any(one.all_runs for one in told) or told[0].runs == hint.runs


def test_what_a_newer_server_says_besides_is_ignored() -> None:
    assert hints.decode('{"routes":[1],"news":{"a":1}}') == Hint(routes=frozenset({1}))


@pytest.mark.parametrize("all_runs", [True, False])
def test_an_empty_hint_is_a_hint(*, all_runs: bool) -> None:
    [text] = hints.encode(Hint(all_runs=all_runs))
    assert hints.decode(text) == Hint(all_runs=all_runs)
