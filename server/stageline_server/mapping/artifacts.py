"""Artifacts between the wire and the engine."""

from stageline.v1 import artifact_service_pb2 as messages
from stageline_engine import limits
from stageline_engine.artifact_store import Announced, Place
from stageline_engine.model.blob import ArtifactRow, LeaseClaim
from stageline_engine.model.stored_payload import SHA256_BYTES
from stageline_server.errors import invalid_field
from stageline_server.mapping.fields import out_of_range, run_id_of, timestamp_of
from stageline_server.streams.tokens import LeaseToken, decode_token


def artifact_message(row: ArtifactRow) -> messages.Artifact:
    """Returns an artifact."""
    return messages.Artifact(
        key=messages.ArtifactKey(run_id=str(row.run_id), key=row.key),
        content_type=row.content_type,
        size_bytes=row.size_bytes,
        sha256=row.sha256,
        stage_id=row.stage_id,
        create_time=timestamp_of(row.created_at),
    )


def place_of(namespace: str, key: messages.ArtifactKey, token: LeaseToken | None) -> Place:
    """Returns where an artifact is; a worker's lease is for artifacts of its run only.

    Raises:
        RefusedError: The run id is none, or not that of the lease. INVALID_FIELD.
    """
    run_id = run_id_of(key.run_id)
    if token is None:
        return Place(namespace, run_id, key.key)
    if token.run_id != run_id:
        raise invalid_field("artifact.run_id", "is not the run of the lease")
    return Place(namespace, run_id, key.key, LeaseClaim(token.stage_number, token.secret))


def lease_of(raw: bytes) -> LeaseToken | None:
    """Returns what a lease token says; None where there is none, which means a client.

    Raises:
        RefusedError: It is malformed. INVALID_FIELD.
    """
    token = decode_token(raw) if raw else None
    if raw and token is None:
        raise invalid_field("lease_token", "is malformed")
    return token


def announced_of(header: messages.PutArtifactHeader) -> Announced:
    """Returns what is said of bytes before they come.

    Raises:
        RefusedError: A field breaks the rule of its comment. INVALID_FIELD.
    """
    if not header.size_bytes and not header.sha256:
        raise invalid_field(
            "size_bytes", "is required, or sha256: they tell a whole upload from one that broke off"
        )
    if header.size_bytes < 0:
        raise out_of_range("size_bytes", "0 or more", header.size_bytes)
    if len(header.sha256) not in (0, SHA256_BYTES):
        raise invalid_field("sha256", f"must have {SHA256_BYTES} bytes, but has {len(header.sha256)}")
    if len(header.request_id) > limits.REQUEST_ID_LENGTH_MAX:
        raise out_of_range(
            "request_id", f"at most {limits.REQUEST_ID_LENGTH_MAX} characters", len(header.request_id)
        )
    return Announced(header.content_type, header.size_bytes, header.sha256)
