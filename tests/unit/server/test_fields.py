"""Fields that many requests share, at their limits and one beyond."""

import re
from datetime import UTC, datetime
from uuid import UUID

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from stageline_engine import limits
from stageline_server.errors import RefusedError
from stageline_server.mapping import fields
from stageline_server.mapping.to_protos import limits_message

RUN_ID = "01890000-0000-7000-8000-00000000000a"


@pytest.mark.parametrize("name", ["a", "team-1.eu_west", "x" * limits.NAME_LENGTH_MAX])
def test_a_namespace_is_a_name(name: str) -> None:
    assert re.fullmatch(limits.NAME_PATTERN, name)
    assert fields.namespace_of(name) == name


def test_no_namespace_is_the_default_one() -> None:
    assert fields.namespace_of("") == fields.DEFAULT_NAMESPACE


@pytest.mark.parametrize("name", ["A", "-a", "a\n", "a b", "a\0", "x" * (limits.NAME_LENGTH_MAX + 1)])
def test_what_is_no_name_is_no_namespace(name: str) -> None:
    assert not re.fullmatch(limits.NAME_PATTERN, name)
    with pytest.raises(RefusedError):
        fields.namespace_of(name)


def test_page_sizes() -> None:
    assert fields.page_size_of(0) == limits.PAGE_SIZE_DEFAULT
    assert fields.page_size_of(limits.PAGE_SIZE_MAX) == limits.PAGE_SIZE_MAX
    with pytest.raises(RefusedError) as refused:
        fields.page_size_of(limits.PAGE_SIZE_MAX + 1)
    assert refused.value.refusal.metadata["actual"] == str(limits.PAGE_SIZE_MAX + 1)


@pytest.mark.parametrize("text", [RUN_ID, RUN_ID.upper()])
def test_a_run_id_is_a_uuid(text: str) -> None:
    assert fields.run_id_of(text) == UUID(RUN_ID)


@pytest.mark.parametrize(
    "text", ["", "x", RUN_ID[:-1], f"{{{RUN_ID}}}", RUN_ID.replace("-", ""), f"{RUN_ID}\n"]
)
def test_what_is_no_uuid_is_no_run_id(text: str) -> None:
    with pytest.raises(RefusedError):
        fields.run_id_of(text)


def test_times_keep_their_zone_and_know_their_bounds() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    stamp = fields.timestamp_of(moment)
    assert stamp is not None
    assert fields.time_of(stamp, "created_after") == moment
    assert fields.timestamp_of(None) is None
    with pytest.raises(RefusedError):
        fields.time_of(Timestamp(seconds=10**12), "created_after")


def test_clients_are_told_the_limits_that_hold() -> None:
    told = limits_message()
    assert told.wait_max.ToTimedelta() == limits.WAIT_MAX
    assert told.log_entries_per_second_max == limits.LOG_LINES_PER_SECOND_MAX
    assert told.frame_items_max == limits.FRAME_ITEMS_MAX
    assert {field.name for field in told.DESCRIPTOR.fields} == {field.name for field, _ in told.ListFields()}
