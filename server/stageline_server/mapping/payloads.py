"""JSON texts into payload messages: inline while the answer has room, else named by what they are."""

import hashlib
from collections.abc import Mapping, Sequence

import orjson

from stageline.v1 import payload_pb2
from stageline_engine.limits import ANSWER_PAYLOADS_BYTES_MAX


class PayloadRoom:
    """The room for payloads in one answer, which gRPC clients take up to 4 MiB of."""

    def __init__(self, bytes_max: int = ANSWER_PAYLOADS_BYTES_MAX) -> None:
        """Begins an answer.

        Args:
            bytes_max: Sum of the texts that may be inline.
        """
        self._left = bytes_max

    def payload(self, text: str | bytes) -> payload_pb2.Payload:
        """Returns a JSON text as a payload: itself where it fits, else its size and SHA-256."""
        raw = text.encode() if isinstance(text, str) else text
        if len(raw) <= self._left:
            self._left -= len(raw)
            return payload_pb2.Payload(json=raw)
        reference = payload_pb2.PayloadReference(sha256=hashlib.sha256(raw).digest(), size_bytes=len(raw))
        return payload_pb2.Payload(reference=reference)


def joined_output(stage_ids: Sequence[str], outputs: Mapping[str, str]) -> bytes | None:
    """Returns a run's output from those of its last group, by joining the texts: nothing is parsed again.

    Args:
        stage_ids: The stages of the group, in definition order.
        outputs: JSON text by stage id.

    Returns:
        The output of a single stage as it is, of several an object by stage id; None where one is missing.
    """
    if any(stage_id not in outputs for stage_id in stage_ids):
        return None
    if len(stage_ids) == 1:
        return outputs[stage_ids[0]].encode()
    return orjson.dumps({stage_id: orjson.Fragment(outputs[stage_id]) for stage_id in stage_ids})
