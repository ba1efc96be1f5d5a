"""Page tokens are good for their list, and harmless everywhere else."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stageline_server.errors import RefusedError
from stageline_server.mapping.page_tokens import page_token, position_of

BINDING = ("ListRuns", "default", "", ["RUNNING"], None)


@given(st.text())
def test_a_position_comes_back(position: str) -> None:
    assert position_of(page_token(BINDING, position), BINDING, str) == position


def test_no_token_is_the_first_page() -> None:
    assert position_of("", BINDING, int) is None


@given(st.text(min_size=1))
def test_any_other_text_is_refused(token: str) -> None:
    with pytest.raises(RefusedError) as refused:
        position_of(token, BINDING, int)
    assert refused.value.refusal.reason == "PAGE_TOKEN_INVALID"


@pytest.mark.parametrize(
    "binding",
    [
        ("ListRunEvents", "default", "", ["RUNNING"], None),
        ("ListRuns", "other", "", ["RUNNING"], None),
        ("ListRuns", "default", "", [], None),
    ],
)
def test_another_lists_token_is_refused(binding: tuple[object, ...]) -> None:
    with pytest.raises(RefusedError):
        position_of(page_token(BINDING, 7), binding, int)


def test_a_position_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(RefusedError):
        position_of(page_token(BINDING, "seven"), BINDING, int)


def test_a_changed_byte_is_refused() -> None:
    raw = bytearray(base64.urlsafe_b64decode(page_token(BINDING, "1234567890") + "=="))
    raw[0] ^= 1
    with pytest.raises(RefusedError):
        position_of(base64.urlsafe_b64encode(bytes(raw)).decode(), BINDING, int)
