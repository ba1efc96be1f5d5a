"""Runs into messages: outputs joined as text, payloads within the room of an answer, failures with their kind."""

import hashlib

import orjson
import pytest

from stageline.v1 import failure_pb2
from stageline_engine.decide.report import INVALID_OUTPUT
from stageline_engine.decide.stale import WORKER_LOST
from stageline_engine.limits import ANSWER_PAYLOADS_BYTES_MAX, PAYLOAD_INLINE_BYTES_MAX
from stageline_engine.model.run import RunState
from stageline_server.mapping.payloads import PayloadRoom, joined_output
from stageline_server.mapping.run_messages import UNREACHED_STATE, failure_kind
from stageline_server.mapping.to_protos import log_level


def test_one_stage_gives_its_own_output_to_the_byte() -> None:
    text = '{"b" : 1.10, "a":[ ]}'
    assert joined_output({"only": text}) == text.encode()


def test_several_stages_give_an_object_in_their_order() -> None:
    joined = joined_output({"b": "1.10", 'a"': '"é"'})
    assert joined.startswith(b'{"b":1.10,')
    assert orjson.loads(joined) == {"b": 1.1, 'a"': "é"}


def test_payloads_are_inline_to_the_last_byte_of_the_room_and_named_beyond() -> None:
    room = PayloadRoom(10)
    assert room.payload('"12345"').json == b'"12345"'
    assert room.payload("123").json == b"123"
    beyond = room.payload("é").reference
    assert (beyond.size_bytes, beyond.sha256) == (2, hashlib.sha256("é".encode()).digest())
    assert room.beyond == ["é".encode()]
    assert PayloadRoom().payload("x" * ANSWER_PAYLOADS_BYTES_MAX).WhichOneof("body") == "json"
    assert PayloadRoom().payload("x" * (ANSWER_PAYLOADS_BYTES_MAX + 1)).WhichOneof("body") == "reference"


def test_input_config_and_output_of_any_single_stage_fit() -> None:
    assert 3 * PAYLOAD_INLINE_BYTES_MAX <= ANSWER_PAYLOADS_BYTES_MAX


@pytest.mark.parametrize(
    ("error_type", "kind"),
    [
        (WORKER_LOST, failure_pb2.FAILURE_KIND_WORKER_LOST),
        (INVALID_OUTPUT, failure_pb2.FAILURE_KIND_INVALID_OUTPUT),
        ("ValueError", failure_pb2.FAILURE_KIND_APPLICATION),
        ("", failure_pb2.FAILURE_KIND_APPLICATION),
        ("UNSPECIFIED", failure_pb2.FAILURE_KIND_APPLICATION),
    ],
)
def test_the_engines_own_failures_have_their_kind(error_type: str, kind: int) -> None:
    assert failure_kind(error_type) == kind


def test_every_state_of_a_run_says_what_its_unreached_stages_are() -> None:
    assert set(UNREACHED_STATE) == set(RunState)


@pytest.mark.parametrize(
    ("name", "level"), [("debug", 1), ("INFO", 2), ("Warning", 3), ("ERROR", 4), ("x", 2)]
)
def test_levels_are_known_by_name(name: str, level: int) -> None:
    assert log_level(name) == level
