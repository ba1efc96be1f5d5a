"""Idempotency keys: a repeat gives the first result, another payload under the same key is refused.

Key, fingerprint and result are written in the transaction of the work, so there is no moment at which one is known
and the other is not.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from stageline_engine.acceptance import request_id_violations
from stageline_engine.handlers.context import Batch
from stageline_engine.records import KeyRecord
from stageline_engine.rejections import Reason, Rejection


class Keyed(Protocol):
    """A command that bears a key."""

    @property
    def namespace(self) -> str:
        """The tenant."""
        ...

    @property
    def idempotency_key(self) -> str:
        """The key; empty means none."""
        ...


class KeyReservations:
    """The keys of one batch, held until its transaction ends."""

    def __init__(
        self, batch: Batch, command: str, stored: Mapping[tuple[str, str, str], KeyRecord | None]
    ) -> None:
        """Takes what was reserved; see ``reserve``."""
        self._batch = batch
        self._command = command
        self._stored = dict(stored)

    @classmethod
    async def reserve(cls, batch: Batch, command: str, commands: Sequence[Keyed]) -> "KeyReservations":
        """Reserves the keys of a batch of commands, bar those that no store could hold: their commands are refused."""
        keys = {
            (item.namespace, command, item.idempotency_key)
            for item in commands
            if item.idempotency_key and not any(request_id_violations(item.idempotency_key))
        }
        return cls(batch, command, await batch.work.reserve_keys(keys) if keys else {})

    def known_result(self, item: Keyed, fingerprint: bytes) -> bytes | Rejection | None:
        """Returns the first call's result, a refusal, or None where the work is yet to be done."""
        if not item.idempotency_key or any(request_id_violations(item.idempotency_key)):
            return None
        key = (item.namespace, self._command, item.idempotency_key)
        facts = {"command": self._command, "request_id": item.idempotency_key}
        if key not in self._stored:
            message = (
                f"A call with request id {item.idempotency_key!r} is still running. Try again in a moment."
            )
            return Rejection(Reason.REQUEST_IN_PROGRESS, message, facts)
        record = self._stored[key]
        if record is None:
            return None
        if record.fingerprint != fingerprint:
            message = (
                f"Request id {item.idempotency_key!r} was used before with another request. "
                "Use a new request id for a new request."
            )
            return Rejection(Reason.REQUEST_ID_REUSED, message, facts)
        return record.result

    def remember(self, item: Keyed, fingerprint: bytes, result: bytes) -> None:
        """Has a result written with the work; later commands of the same batch see it too."""
        if not item.idempotency_key:
            return
        record = KeyRecord(
            item.namespace, self._command, item.idempotency_key, fingerprint, result, self._batch.space.now
        )
        self._stored[item.namespace, self._command, item.idempotency_key] = record
        self._batch.space.keep_key(record)
