"""From an offer to a job, by the protocol's own vectors."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from stageline.v1 import job_pb2, payload_pb2
from stageline_sdk._offers import job_of, missing_inputs, refers
from tests.unit.worker_sdk.session_harness import duration

VECTORS = json.loads(
    (Path(__file__).parents[3] / "protos/testdata/input_assembly.json").read_text(encoding="utf-8")
)["cases"]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def payload(value: Any) -> payload_pb2.Payload:
    return payload_pb2.Payload(json=json.dumps(value).encode())


def an_offer(**fields: Any) -> job_pb2.JobOffer:
    return job_pb2.JobOffer(**{"kind": job_pb2.JOB_KIND_EXECUTE, "stage_id": "work", **fields})


@pytest.mark.parametrize("case", VECTORS, ids=[case["name"] for case in VECTORS])
@pytest.mark.parametrize("inline", [True, False])
def test_the_input_is_put_together_as_the_vectors_say(case: dict[str, Any], inline: bool) -> None:
    outputs = {stage_id: payload(value) for stage_id, value in case["outputs"].items()}
    offer = an_offer(
        input_stage_ids=case["input_stage_ids"],
        outputs=outputs if inline else {},
        completed_stage_ids=list(outputs),
    )
    if "run_input" in case:
        offer.run_input.CopyFrom(payload(case["run_input"]))
    any_input = case["accepts_any_input"]
    missing = missing_inputs(offer, accepts_any_input=any_input)
    assert missing == ([] if inline or any_input else case["input_stage_ids"])
    fetched = {stage_id: outputs[stage_id].json for stage_id in missing}
    job = job_of(offer, fetched, accepts_any_input=any_input, now=NOW)
    assert json.loads(job.input) == case["input"]
    assert set(job.outputs) | job.stored_outputs == set(case["outputs"])


def test_a_check_and_a_new_attempt_get_the_state() -> None:
    state = payload({"batch": 7})
    check = an_offer(kind=job_pb2.JOB_KIND_CHECK, suspended_state=state)
    assert job_of(check, {}, accepts_any_input=False, now=NOW).state == state.json
    again = an_offer(suspended_state=state, run_input=payload({}))
    assert job_of(again, {}, accepts_any_input=False, now=NOW).state == state.json


def test_the_deadline_counts_from_the_receipt() -> None:
    offer = an_offer(run_input=payload({}), start_to_close=duration(timedelta(minutes=2)))
    assert job_of(offer, {}, accepts_any_input=False, now=NOW).deadline == NOW + timedelta(minutes=2)
    offer.ClearField("start_to_close")
    assert job_of(offer, {}, accepts_any_input=False, now=NOW).deadline is None


def test_an_offer_says_whether_it_refers_to_what_is_stored_apart() -> None:
    stored = payload_pb2.Payload(
        reference=payload_pb2.PayloadReference(sha256=bytes(32), size_bytes=5_000_000)
    )
    assert not refers(an_offer(run_input=payload({})))
    assert refers(an_offer(run_input=stored))
    assert refers(an_offer(run_input=payload({}), suspended_state=stored))
    outputs = an_offer(input_stage_ids=["a"], completed_stage_ids=["a"])
    outputs.outputs["a"].CopyFrom(stored)
    assert not refers(outputs)
    assert missing_inputs(outputs, accepts_any_input=False) == ["a"]
