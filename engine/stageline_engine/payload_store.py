"""Payloads over the inline limit: put beside the database, held to their schemas all the same, found by their content."""

import asyncio
import hashlib
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, TypeVar
from uuid import UUID

from msgspec.structs import replace

from stageline_engine import acceptance, payloads
from stageline_engine.blobs import get_bytes, put_bytes
from stageline_engine.commands import CreateRun, JobOffer, ReportJob, ResumeStage
from stageline_engine.errors import BlobNotFoundError, InvariantError, StorageUnavailableError
from stageline_engine.limits import PAYLOAD_BYTES_MAX, PAYLOAD_GRACE
from stageline_engine.model.blob import Blob, PayloadRow
from stageline_engine.model.definition import StageDefinition, WorkflowDefinition
from stageline_engine.model.stored_payload import StoredPayload, reference_in
from stageline_engine.ports import BlobIndex, BlobStore, Clock, IdSource, WorkflowRegistry
from stageline_engine.rejections import Rejection
from stageline_engine.settling import Unsettled, settled, unsettled

Some = TypeVar("Some")

PAYLOADS_AT_ONCE = 4
"""Payloads that are held in memory at once to be looked at; others wait. Each may be as large as allowed."""

Schema = StageDefinition | WorkflowDefinition | None
"""Whose schema a payload is held to: a stage's output schema, a workflow's input schema; None: any JSON will do."""


class PayloadStore:
    """Stores payloads, looks at references, and gives payloads back. Nothing in here is part of a transaction."""

    def __init__(
        self,
        blobs: BlobStore,
        index: BlobIndex,
        registry: WorkflowRegistry,
        clock: Clock,
        ids: IdSource,
    ) -> None:
        """Takes the ports.

        Args:
            blobs: Where the bytes go.
            index: Where it is written which bytes there are.
            registry: Stored definitions, for their schemas.
            clock: The present time.
            ids: Names blobs.
        """
        self._blobs = blobs
        self._index = index
        self._registry = registry
        self._clock = clock
        self._ids = ids
        self._room = asyncio.Semaphore(PAYLOADS_AT_ONCE)

    async def put(
        self, namespace: str, text: bytes, *, field: str = "payload", run_id: UUID | None = None
    ) -> StoredPayload | Rejection:
        """Stores a payload, or finds that it is stored.

        Args:
            namespace: The tenant.
            text: UTF-8 JSON, at most ``PAYLOAD_BYTES_MAX`` bytes.
            field: What the caller calls it.
            run_id: The run whose worker puts it, and may refer to it and read it.

        Returns:
            Its reference, which stays good for ``PAYLOAD_GRACE`` and for as long as a run refers to it; or why the text
            is no payload.

        Raises:
            StorageUnavailableError: The store or the database is away. Nothing can be seen of the attempt.
        """
        value = payloads.parse(text, field, PAYLOAD_BYTES_MAX)
        return value if isinstance(value, Rejection) else await self._put(namespace, text, run_id)

    async def _put(self, namespace: str, text: bytes, run_id: UUID | None) -> StoredPayload:
        digest, now = hashlib.sha256(text).digest(), self._clock.now()
        keep_until = now + PAYLOAD_GRACE
        stored = StoredPayload(digest, len(text), checked=True)
        row = await self._index.find_payload(namespace, digest, keep_until)
        if row is None:
            blob = Blob(self._ids.new_id(), namespace)
            await self._write(blob, text)
            row = PayloadRow(namespace, digest, len(text), blob.id, keep_until)
        elif run_id is None:
            return stored
        await self._index.keep_payload(row, self._clock.now(), run_id)
        return stored

    async def _write(self, blob: Blob, text: bytes) -> None:
        await self._index.begin(blob, self._clock.now())
        try:
            await put_bytes(self._blobs, blob.key, text)
        except BaseException:
            with suppress(StorageUnavailableError):  # then it is found when its time is over
                await self._index.drop(blob, self._clock.now())
            raise

    async def get(self, row: PayloadRow) -> bytes:
        """Returns a payload's text.

        Raises:
            InvariantError: The store has lost its bytes, or has others.
            StorageUnavailableError: The store is away.
        """
        try:
            text = await get_bytes(self._blobs, row.blob.key)
        except BlobNotFoundError as error:
            raise InvariantError(
                f"the bytes of payload {row.sha256.hex()} are gone from the store"
            ) from error
        if hashlib.sha256(text).digest() != row.sha256:
            raise InvariantError(
                f"the stored bytes of payload {row.sha256.hex()} are not those that were put"
            )
        return text

    async def text(self, namespace: str, text: str) -> str:
        """Returns a payload as it was given: the text itself, or what it refers to.

        Raises:
            InvariantError: It refers to what is not stored.
            StorageUnavailableError: The store or the database is away.
        """
        reference = reference_in(text)
        if reference is None:
            return text
        row = await self._index.find_payload(namespace, reference.sha256)
        if row is None:
            raise InvariantError(f"payload {reference.sha256.hex()} of namespace {namespace} is not stored")
        return (await self.get(row)).decode()

    async def fetch(self, namespace: str, reference: StoredPayload, field: str) -> bytes | Rejection:
        """Returns the text that a client's reference names, where the payload is kept inline from then on.

        Args:
            namespace: The tenant.
            reference: What the client sent; its size has been held to the limit.
            field: What the caller calls it.

        Returns:
            The text; or why there is none: nothing is stored under this name, or its size is another.

        Raises:
            StorageUnavailableError: The store or the database is away.
        """
        row = await self._index.find_payload(namespace, reference.sha256)
        if row is None:
            return payloads.not_stored(reference, field)
        if row.size_bytes != reference.size_bytes:
            return payloads.mismatched(field, f"{reference.size_bytes} bytes", f"{row.size_bytes} bytes")
        async with self._room:
            return await self.get(row)

    async def resolved(self, offer: JobOffer) -> JobOffer:
        """Returns an offer with every payload in it, for a stage that is run in this process. Raises as ``text`` does."""
        namespace = offer.namespace
        return replace(
            offer,
            run_input=None if offer.run_input is None else await self.text(namespace, offer.run_input),
            outputs={id_: await self.text(namespace, text) for id_, text in offer.outputs.items()},
            suspended_state=None
            if offer.suspended_state is None
            else await self.text(namespace, offer.suspended_state),
        )

    async def settle_many(self, commands: Sequence[Some]) -> Sequence[Some]:
        """Returns commands that the kernel can decide on; the very same where none has a large payload."""
        if all(unsettled(command) is None for command in commands):
            return commands
        return [await self.settle(command) for command in commands]

    async def settle(self, command: Some) -> Some:
        """Stores a payload that is over the inline limit, or looks at a reference, and holds it to its schema.

        What is wrong with it becomes part of the command, and is answered as for any payload.

        Raises:
            StorageUnavailableError: The store or the database is away.
        """
        found = unsettled(command)
        if found is None:
            return command
        whole: Any = command
        async with self._room:
            if isinstance(found.payload, StoredPayload):
                payload = await self._look_at(whole, found, found.payload)
            else:
                payload = await self._take_in(whole, found)
        return settled(command, payload)

    async def _take_in(self, command: Any, found: Unsettled) -> StoredPayload:
        """Stores a payload that came inline."""
        text = found.payload
        value = payloads.parse(text, found.field, PAYLOAD_BYTES_MAX)
        if isinstance(value, Rejection):
            refusal: Rejection | None = value
        else:
            refusal = _refusal(await self._schema_of(command), value)
        if refusal is None:
            return await self._put(command.namespace, text, found.run_id)
        digest = hashlib.sha256(text).digest()
        return StoredPayload(digest, len(text), checked=True, refusal=refusal)

    async def _look_at(self, command: Any, found: Unsettled, reference: StoredPayload) -> StoredPayload:
        """Finds what a reference names, and holds it to its schema where there is one."""
        keep_until = self._clock.now() + PAYLOAD_GRACE
        row = await self._index.find_payload(
            command.namespace, reference.sha256, keep_until, run_id=found.run_id
        )
        refusal: Rejection | None = None
        if row is None:
            refusal = payloads.not_stored(reference, found.field)
        elif row.size_bytes != reference.size_bytes:
            sizes = f"{reference.size_bytes} bytes", f"{row.size_bytes} bytes"
            refusal = payloads.mismatched(found.field, *sizes)
        else:
            schema = await self._schema_of(command)
            if _has_schema(schema):
                value = payloads.parse(await self.get(row), found.field, PAYLOAD_BYTES_MAX)
                refusal = value if isinstance(value, Rejection) else _refusal(schema, value)
        return StoredPayload(reference.sha256, reference.size_bytes, checked=True, refusal=refusal)

    async def _schema_of(self, command: CreateRun | ReportJob | ResumeStage) -> Schema:
        """Whose schema the payload is held to; None also where run or stage are not there, which is refused later."""
        if isinstance(command, CreateRun):
            found = await self._registry.get(
                command.namespace, command.workflow_name, command.workflow_version
            )
            return found.definition if found else None
        if not hasattr(command.outcome, "output"):
            return None
        pinned = await self._index.pinned_run(command.run_id)
        if pinned is None or pinned.namespace != command.namespace:
            return None
        workflow = await self._registry.get(*pinned)
        if workflow is None:
            return None
        number = (
            command.stage_number
            if isinstance(command, ReportJob)
            else workflow.definition.number_by_id.get(command.stage_id, 0)
        )
        stages = workflow.definition.stages
        return stages[number - 1] if 0 < number <= len(stages) else None


def _has_schema(schema: Schema) -> bool:
    if isinstance(schema, StageDefinition):
        return bool(schema.output_schema)
    return schema is not None and bool(schema.input_schema)


def _refusal(schema: Schema, value: Any) -> Rejection | None:
    if isinstance(schema, StageDefinition):
        return payloads.output_refusal(schema, value)
    return None if schema is None else acceptance.input_refusal(schema, value)
