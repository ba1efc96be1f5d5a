"""A key has one spelling, and reaches nothing that it does not name."""

import posixpath
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stageline_engine.blob_keys import BLOB_KEY_LENGTH_MAX, BLOB_SEGMENT_LENGTH_MAX, key_fault

PARTS = [
    ".",
    "..",
    "/",
    "\\",
    "%",
    "%2e",
    "%2F",
    "%00",
    "\0",
    " ",
    "a",
    "Z",
    "9",
    "_",
    "-",
    "~",
    ":",
    "\u2024",
    "é",
]

hostile = st.lists(st.sampled_from(PARTS), max_size=12).map("".join) | st.text(max_size=40)
segments = st.text("ABCXYZabcxyz019._-", min_size=1, max_size=20).filter(lambda text: text not in (".", ".."))
canonical = st.lists(segments, min_size=1, max_size=8).map("/".join)


@given(hostile)
def test_what_is_taken_is_its_own_only_spelling_and_stays_where_it_is(key: str) -> None:
    if key_fault(key):
        return
    assert posixpath.normpath(key) == key
    assert unquote(key) == key
    assert not posixpath.isabs(key)
    assert posixpath.normpath(f"runs/this/{key}").startswith("runs/this/")
    assert key.isascii()
    assert key.isprintable()


@given(canonical)
def test_plain_paths_are_taken(key: str) -> None:
    assert key_fault(key) == ""


@given(canonical, st.sampled_from(["..", ".", "", "%2e%2e", "a b", "\0", "\\..\\"]), st.data())
def test_one_bad_segment_spoils_the_key(key: str, bad: str, data: st.DataObject) -> None:
    parts = key.split("/")
    parts.insert(data.draw(st.integers(0, len(parts))), bad)
    assert key_fault("/".join(parts))


@pytest.mark.parametrize(
    ("key", "word"),
    [
        ("", "0 characters"),
        ("a" * (BLOB_KEY_LENGTH_MAX + 1), "513 characters"),
        ("a" * (BLOB_SEGMENT_LENGTH_MAX + 1), "segment of 201 characters"),
        ("/etc/passwd", "empty segment"),
        ("a/../../b", "'..'"),
        ("a/%2e%2e/b", "'%2e%2e'"),
    ],
)
def test_a_fault_says_what_is_wrong(key: str, word: str) -> None:
    assert word in key_fault(key)


def test_keys_may_be_as_long_as_allowed() -> None:
    assert key_fault("a" * BLOB_SEGMENT_LENGTH_MAX) == ""
    assert key_fault("/".join(["a" * 127] * 4)) == ""
    assert key_fault("a" * BLOB_KEY_LENGTH_MAX, segment_length_max=BLOB_KEY_LENGTH_MAX) == ""
