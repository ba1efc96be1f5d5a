"""A refused command is a value: nothing was changed, and the caller learns why and what to do."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Reason(StrEnum):
    """Why a command was refused. The names are those of ``stageline.v1.ErrorReason``."""

    INVALID_FIELD = "INVALID_FIELD"
    INVALID_INPUT = "INVALID_INPUT"
    INVALID_CONFIG = "INVALID_CONFIG"
    INVALID_OUTPUT = "INVALID_OUTPUT"
    INVALID_DEFINITION = "INVALID_DEFINITION"
    MALFORMED_JSON = "MALFORMED_JSON"
    PAYLOAD_NOT_FOUND = "PAYLOAD_NOT_FOUND"
    PAYLOAD_MISMATCH = "PAYLOAD_MISMATCH"
    ARTIFACT_NOT_FOUND = "ARTIFACT_NOT_FOUND"
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    WORKFLOW_NOT_FOUND = "WORKFLOW_NOT_FOUND"
    WORKFLOW_VERSION_NOT_FOUND = "WORKFLOW_VERSION_NOT_FOUND"
    STAGE_NOT_FOUND = "STAGE_NOT_FOUND"
    RUN_NOT_FOUND = "RUN_NOT_FOUND"
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    REQUEST_IN_PROGRESS = "REQUEST_IN_PROGRESS"
    SESSION_NOT_FOUND = "SESSION_NOT_FOUND"
    LEASE_SUPERSEDED = "LEASE_SUPERSEDED"
    RUN_NOT_RERUNNABLE = "RUN_NOT_RERUNNABLE"
    PREDECESSORS_INCOMPLETE = "PREDECESSORS_INCOMPLETE"
    STAGE_NOT_SUSPENDED = "STAGE_NOT_SUSPENDED"
    RESUME_TOKEN_INVALID = "RESUME_TOKEN_INVALID"
    PAGE_TOKEN_INVALID = "PAGE_TOKEN_INVALID"


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """One thing wrong with one field.

    Attributes:
        field: Path of the field as the caller wrote it, such as ``input.url`` or ``config.extract-text.max_length``.
        description: What is wrong with it, with the limit and the size where there is one.
    """

    field: str
    description: str


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a command was not carried out.

    Attributes:
        reason: The closed reason that programs switch on.
        message: One sentence for a person: what was expected, what was found, what to do.
        metadata: Facts for programs: limits, sizes, ids; units are part of the key.
        violations: Every field at fault, all at once.
    """

    reason: Reason
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: tuple[FieldViolation, ...] = ()


def out_of_limits(violations: tuple[FieldViolation, ...]) -> Rejection:
    """The rejection of a request whose fields break the rules of their comments."""
    names = ", ".join(violation.field for violation in violations)
    return Rejection(Reason.INVALID_FIELD, f"Out of limits: {names}.", {}, violations)
