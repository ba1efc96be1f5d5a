"""From an offer to the job that a stage is run with."""

from collections.abc import Mapping
from datetime import datetime

from pydantic_core import to_json

from stageline.v1 import job_pb2, payload_pb2
from stageline_sdk._job import Job
from stageline_sdk._submission_wire import submission_of


def refers(offer: job_pb2.JobOffer) -> bool:
    """Whether the input or the state is stored apart."""
    has_input = offer.HasField("run_input") and offer.run_input.WhichOneof("body") == "reference"
    return has_input or (
        offer.HasField("suspended_state") and offer.suspended_state.WhichOneof("body") == "reference"
    )


def missing_inputs(offer: job_pb2.JobOffer, *, accepts_any_input: bool) -> list[str]:
    """Return the stages whose outputs the input is made of and which did not come with the offer."""
    if accepts_any_input or offer.kind == job_pb2.JOB_KIND_CHECK:
        return []
    inline = _inline(offer.outputs)
    return [stage_id for stage_id in offer.input_stage_ids if stage_id not in inline]


def job_of(
    offer: job_pb2.JobOffer, fetched: Mapping[str, bytes], *, accepts_any_input: bool, now: datetime
) -> Job:
    """Return the job of an offer.

    Args:
        offer: The offer, with what it refers to.
        fetched: Outputs that did not come with it and were fetched; those of `missing_inputs` at least.
        accepts_any_input: Whether the stage does not read its input.
        now: When the offer was received, with a time zone.
    """
    outputs = {**_inline(offer.outputs), **fetched}
    is_check = offer.kind == job_pb2.JOB_KIND_CHECK
    has_deadline = offer.HasField("start_to_close")
    return Job(
        run_id=offer.run_id,
        workflow_name=offer.workflow_name,
        workflow_version=offer.workflow_version,
        stage_id=offer.stage_id,
        kind="CHECK" if is_check else "EXECUTE",
        attempt=offer.attempt,
        delivery=offer.delivery,
        generation=offer.generation,
        deadline=now + offer.start_to_close.ToTimedelta() if has_deadline else None,
        input=b"null" if is_check else _input(offer, outputs, accepts_any_input=accepts_any_input),
        config=offer.config.json or b"{}",
        outputs=outputs,
        stored_outputs=frozenset(offer.completed_stage_ids) - outputs.keys(),
        state=_state(offer, is_check=is_check),
        submissions=tuple(map(submission_of, offer.submissions)),
    )


def _state(offer: job_pb2.JobOffer, *, is_check: bool) -> bytes | None:
    if not offer.HasField("suspended_state"):
        return b"{}" if is_check else None
    text = offer.suspended_state.json
    return text or (b"{}" if is_check else None)


def _input(offer: job_pb2.JobOffer, outputs: Mapping[str, bytes], *, accepts_any_input: bool) -> bytes:
    """Return a stage's input as `protos/testdata/input_assembly.json` has it."""
    if accepts_any_input:
        return b"{}"
    if not offer.input_stage_ids:
        return offer.run_input.json or b"{}"
    if len(offer.input_stage_ids) == 1:
        return outputs[offer.input_stage_ids[0]]
    parts = [to_json(stage_id) + b":" + outputs[stage_id] for stage_id in offer.input_stage_ids]
    return b"{" + b",".join(parts) + b"}"


def _inline(outputs: Mapping[str, payload_pb2.Payload]) -> dict[str, bytes]:
    """Return the outputs whose text came with the offer; the others are fetched."""
    return {
        stage_id: payload.json
        for stage_id, payload in outputs.items()
        if payload.WhichOneof("body") == "json"
    }
