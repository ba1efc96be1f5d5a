"""What a client may do to a run that exists: run it again, end a wait, make and read notes."""

import uuid
from collections.abc import AsyncGenerator, Mapping
from datetime import datetime
from enum import Enum
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_json

from stageline.v1 import annotation_pb2, failure_pb2, run_service_pb2
from stageline_sdk._client_base import ClientBase
from stageline_sdk._decode import decode_run
from stageline_sdk._decode_upkeep import decode_annotation
from stageline_sdk._payload import jsonable, jsonable_fields
from stageline_sdk._wire import to_payload, to_timestamp
from stageline_sdk.runs import Annotation, Run


class _Unset(Enum):
    UNSET = "unset"


UNSET = _Unset.UNSET
"""Stands for an output that is not given: None is a value."""


class RunChanges(ClientBase):
    """The calls of `Client` that change a run after its start."""

    async def rerun_run(
        self,
        run_id: str,
        from_stage: str = "",
        *,
        reason: str = "",
        config: Mapping[str, BaseModel | Mapping[str, Any]] | None = None,
        request_id: str | None = None,
    ) -> Run:
        """Run an ended run again, from the group of a stage on. Outputs of the groups before are kept.

        Args:
            run_id: A COMPLETED or FAILED run.
            from_stage: Id of a stage of the first group to run again. Default: the first group.
            reason: Why, for people. At most 1,024 characters.
            config: New config for some stages, in place of the run's, by stage id.
            request_id: Of calls with one id only the first has an effect. Default: a new one.

        Raises:
            NotFoundError: There is no such run, or it has no such stage.
            FailedPreconditionError: It has not ended or was cancelled, or a group before is not complete.
            InvalidArgumentError: The config does not fit.
            AlreadyExistsError: The request id was used for another request.
            UnavailableError: The server could not be reached.
        """
        plain = {
            stage_id: values.model_dump(mode="json", by_alias=True)
            if isinstance(values, BaseModel)
            else values
            for stage_id, values in (config or {}).items()
        }
        request = run_service_pb2.RerunRunRequest(
            namespace=self._namespace,
            request_id=request_id or str(uuid.uuid4()),
            run_id=run_id,
            from_stage_id=from_stage,
            config=to_payload(plain) if plain else None,
            reason=reason,
        )
        return decode_run((await self._call(self._runs.RerunRun, request)).run)

    async def resume_stage(  # noqa: PLR0913 - the ways in which a wait may end
        self,
        run_id: str,
        stage_id: str,
        token: str,
        *,
        output: Any = UNSET,
        failure: str = "",
        failure_type: str = "Rejected",
        retry: bool = False,
        check_now: bool = False,
        request_id: str | None = None,
    ) -> Run:
        """End the wait of a suspended stage, by a token that it gave away. Give an output, a failure, or `check_now`.

        The first call with an output or a failure uses the token up; a repetition of the same is harmless.

        Args:
            run_id: The run.
            stage_id: The stage.
            token: What `ctx.resume_token()` returned in the stage.
            output: The stage is COMPLETED with it: a pydantic model or JSON values; None is a value, too.
            failure: The stage has failed, and this says why.
            failure_type: The failure's type, for the stage's retry policy. Default `Rejected`.
            retry: Whether the retry policy decides what follows a failure. Default: it is final.
            check_now: Have the stage's check function look now. The token stays good.
            request_id: Makes a repeat of this call return its first answer. Default: a new one.

        Raises:
            ValueError: Not exactly one of output, failure and check_now is given.
            PermissionDeniedError: The token is unknown, expired, or was used with another outcome.
            FailedPreconditionError: The stage is not suspended: not yet, or not any more.
            InvalidArgumentError: The output does not fit the stage's schema. The token stays good.
            NotFoundError: There is no such run, or it has no such stage.
            UnavailableError: The server could not be reached.
        """
        if (output is not UNSET) + bool(failure) + check_now != 1:
            raise ValueError("give exactly one of output, failure and check_now")
        request = run_service_pb2.ResumeStageRequest(
            namespace=self._namespace,
            request_id=request_id or str(uuid.uuid4()),
            run_id=run_id,
            stage_id=stage_id,
            resume_token=token,
        )
        if check_now:
            request.check_now.SetInParent()
        elif failure:
            request.failure.CopyFrom(
                failure_pb2.StageError(
                    kind=failure_pb2.FAILURE_KIND_APPLICATION,
                    type=failure_type,
                    message=failure,
                    retryable=None if retry else False,
                )
            )
        else:
            request.output.CopyFrom(await self._payload(output))
        return decode_run((await self._call(self._runs.ResumeStage, request)).run)

    async def annotate_run(  # noqa: PLR0913 - what a note may say
        self,
        run_id: str,
        key: str,
        value: Any,
        *,
        details: Mapping[str, Any] | None = None,
        scope: str = "",
        scope_id: str = "",
        actor: str = "",
        emit_event: bool = False,
        annotation_id: str | None = None,
    ) -> bool:
        """Make a note on a run, in whatever state it is, and return whether it is new.

        Args:
            run_id: The run.
            key: A dotted lower-case name, such as `approval.approvers`; 1 to 255 characters.
            value: What it says: anything that JSON can show, except None; at most 16 KiB.
            details: More about it, at most 64 KiB.
            scope: What it is about. Default: the run.
            scope_id: Names that thing, where it is neither the run nor a stage.
            actor: Who says it, as `kind:id` or `kind:id:version`, such as `user:jane`.
            emit_event: Whether an event `annotation:created` tells of it.
            annotation_id: Names the note: one that the run has already changes nothing, so that a call may be repeated.
                Default: a new one.

        Raises:
            NotFoundError: There is no such run.
            InvalidArgumentError: A field breaks its rule.
            UnavailableError: The server could not be reached.
        """
        kind, _, rest = actor.partition(":")
        name, _, version = rest.partition(":")
        entry = annotation_pb2.AnnotationEntry(
            annotation_id=annotation_id or str(uuid.uuid4()),
            key=key,
            value=to_json(jsonable(value)),
            details=to_json(jsonable_fields(details)) if details else b"",
            scope=scope,
            scope_id=scope_id,
            actor=annotation_pb2.Actor(kind=kind, id=name, version=version) if actor else None,
            emit_event=emit_event,
        )
        request = run_service_pb2.AnnotateRunRequest(
            namespace=self._namespace, run_id=run_id, annotations=[entry]
        )
        return bool((await self._call(self._runs.AnnotateRun, request)).new_annotation_ids)

    async def annotations(  # noqa: PLR0913 - each a filter
        self,
        run_id: str,
        *,
        key_prefix: str = "",
        stage_id: str = "",
        scope: str = "",
        scope_id: str = "",
        actor_kind: str = "",
        actor_id: str = "",
        generation: int | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> AsyncGenerator[Annotation]:
        """Yield the notes on a run, the oldest first. Pages are fetched as needed.

        Args:
            run_id: The run.
            key_prefix: Only notes whose key is this, or starts with this and a dot.
            stage_id: Only notes of this stage.
            scope: Only notes of this scope.
            scope_id: Only notes about the thing of this id in its scope.
            actor_kind: Only notes by actors of this kind.
            actor_id: Only notes by the actor of this id.
            generation: Only notes of this generation of a stage.
            since: Only notes that were made at this time or later.
            until: Only notes that were made before this time.

        Raises:
            NotFoundError: There is no such run, or it has no such stage.
            UnavailableError: The server could not be reached.
        """
        request = run_service_pb2.ListAnnotationsRequest(
            namespace=self._namespace,
            run_id=run_id,
            key_prefix=key_prefix,
            stage_id=stage_id,
            scope=scope,
            scope_id=scope_id,
            actor_kind=actor_kind,
            actor_id=actor_id,
            generation=generation,
            since=to_timestamp(since),
            until=to_timestamp(until),
        )
        while True:
            response = await self._call(self._runs.ListAnnotations, request)
            for message in response.annotations:
                yield decode_annotation(message)
            request.page_token = response.next_page_token
            if not request.page_token:
                return
