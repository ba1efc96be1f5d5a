"""Lease tokens on the wire."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from stageline_engine import limits
from stageline_engine.commands import LeaseReference
from stageline_server.streams.tokens import TOKEN_BYTES_MAX, LeaseToken, decode_token, encode_token

SESSION = UUID(int=1)
leases = st.builds(
    LeaseReference, st.just(SESSION), st.uuids(), st.uuids(), st.integers(1, limits.STAGES_PER_WORKFLOW_MAX)
)


@given(leases)
def test_a_token_says_what_was_put_in(lease: LeaseReference) -> None:
    token = encode_token(lease)
    assert len(token) <= TOKEN_BYTES_MAX
    assert decode_token(token) == LeaseToken(lease.run_id, lease.stage_number, lease.lease_token)


@given(leases, st.data())
def test_a_changed_token_says_something_else_or_nothing(lease: LeaseReference, data: st.DataObject) -> None:
    token = bytearray(encode_token(lease))
    index = data.draw(st.integers(0, len(token) - 1))
    token[index] ^= data.draw(st.integers(1, 255))
    read = decode_token(bytes(token))
    assert read is None or read != LeaseToken(lease.run_id, lease.stage_number, lease.lease_token)


@given(st.binary(max_size=100))
def test_other_bytes_are_no_token(raw: bytes) -> None:
    read = decode_token(raw)
    if read is not None:
        assert encode_token(LeaseReference(SESSION, read.secret, read.run_id, read.stage_number)) == raw


def test_a_stage_number_that_no_workflow_has_is_none() -> None:
    for number in (0, limits.STAGES_PER_WORKFLOW_MAX + 1, 2**31, 2**32 - 1):
        lease = LeaseReference(SESSION, UUID(int=2), UUID(int=3), number)
        assert decode_token(encode_token(lease)) is None
