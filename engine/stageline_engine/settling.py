"""Which payload of a command has to be looked at outside of any transaction, and the command with what was found."""

from dataclasses import replace
from typing import Any, NamedTuple, TypeVar, cast
from uuid import UUID

from stageline_engine.commands import Completed, CreateRun, ReportJob, ResumeStage, StillWaiting, Suspended
from stageline_engine.limits import PAYLOAD_INLINE_BYTES_MAX
from stageline_engine.model.stored_payload import StoredPayload

Some = TypeVar("Some")


class Unsettled(NamedTuple):
    """A payload that is over the inline limit, or is a reference that nobody has looked at.

    Attributes:
        payload: JSON text, or a ``StoredPayload``.
        field: What the caller calls it.
        run_id: The run that it must be stored for already, where a worker refers to it; None where a client does.
    """

    payload: bytes
    field: str
    run_id: UUID | None


def unsettled(command: Any) -> Unsettled | None:
    """Returns a command's payload that must be looked at before the kernel can decide; None for nearly all commands."""
    kind = type(command)
    if kind is CreateRun:
        return _found(command.input, "input", None)
    if kind is not ReportJob and kind is not ResumeStage:
        return None
    outcome, run_id = command.outcome, command.run_id if kind is ReportJob else None
    if type(outcome) is Completed:
        return _found(outcome.output, "output", run_id)
    if isinstance(outcome, Suspended | StillWaiting) and outcome.state is not None:
        return _found(outcome.state, "state", run_id)
    return None


def _found(payload: bytes, field: str, run_id: UUID | None) -> Unsettled | None:
    if isinstance(payload, StoredPayload):
        return None if payload.checked else Unsettled(payload, field, run_id)
    return Unsettled(payload, field, run_id) if len(payload) > PAYLOAD_INLINE_BYTES_MAX else None


def settled(command: Some, payload: bytes) -> Some:
    """Returns a command with another payload in the place of its own."""
    whole: Any = command
    if isinstance(whole, CreateRun):
        changed: Any = replace(whole, input=payload)
    else:
        field = "output" if isinstance(whole.outcome, Completed) else "state"
        changed = replace(whole, outcome=replace(whole.outcome, **{field: payload}))
    return cast("Some", changed)


def unchecked(command: Some) -> Some:
    """Returns a command whose stored payload is to be looked at once more: it may have gone since."""
    whole: Any = command
    payload: Any = None
    if isinstance(whole, CreateRun):
        payload = whole.input
    elif isinstance(whole, ReportJob | ResumeStage):
        payload = getattr(whole.outcome, "output", None) or getattr(whole.outcome, "state", None)
    if not isinstance(payload, StoredPayload) or payload.refusal is not None:
        return command
    return settled(command, StoredPayload(payload.sha256, payload.size_bytes))
