"""The annotations of a run: making them from outside, and reading them a page at a time."""

from typing import Any

from stageline.v1 import run_service_pb2 as messages
from stageline_engine.commands import AnnotateRun
from stageline_engine.ports import AnnotationFilter
from stageline_server.dispatch.plane import ControlPlane
from stageline_server.errors import RefusedError, accepted, invalid_field
from stageline_server.mapping.annotations import annotation_message, to_annotation
from stageline_server.mapping.fields import namespace_of, optional_name, page_size_of, run_id_of, time_of
from stageline_server.mapping.page_tokens import page_token, position_of
from stageline_server.services.run_logs import stage_not_found
from stageline_server.services.run_reader import RunReader


class RunAnnotations:
    """Answers AnnotateRun and ListAnnotations."""

    def __init__(self, plane: ControlPlane, reader: RunReader) -> None:
        """Takes the plane to work with, and who knows the run's stages."""
        self._plane = plane
        self._queries = plane.ports.queries
        self._reader = reader

    async def annotate(self, request: messages.AnnotateRunRequest) -> messages.AnnotateRunResponse:
        """Keeps what is said, each remark once.

        Raises:
            RefusedError: There is no such run, or a field breaks its rule.
        """
        namespace, run_id = namespace_of(request.namespace), run_id_of(request.run_id)
        if not request.annotations:
            raise invalid_field("annotations", "is empty")
        try:
            said = tuple(to_annotation(entry, "run") for entry in request.annotations)
        except UnicodeDecodeError:
            raise invalid_field("annotations", "holds a value that is not UTF-8") from None
        command = AnnotateRun(namespace=namespace, run_id=run_id, annotations=said)
        done = accepted(await self._plane.annotate_now(command))
        return messages.AnnotateRunResponse(new_annotation_ids=done.added)

    async def page(self, request: messages.ListAnnotationsRequest) -> messages.ListAnnotationsResponse:
        """Returns one page.

        Raises:
            RefusedError: There is no such run or stage, or a field breaks its rule.
        """
        namespace, run_id = namespace_of(request.namespace), run_id_of(request.run_id)
        size, prefix = page_size_of(request.page_size), optional_name(request.key_prefix, "key_prefix")
        given = _filters(request)
        named = [f"{name}={value}" for name, value in given.items()]
        binding = ("ListAnnotations", namespace, str(run_id), prefix, request.stage_id, *named)
        after_id = position_of(request.page_token, binding, str) or ""
        details = await self._reader.details(namespace, run_id, with_outputs=False)
        run, definition = details.run, await self._reader.definition(details)
        number = definition.number_by_id.get(request.stage_id, 0) if request.stage_id else None
        if number == 0:
            known = list(definition.number_by_id)
            raise RefusedError(
                stage_not_found(run.workflow_name, run.workflow_version, request.stage_id, known)
            )
        which = AnnotationFilter(key_prefix=prefix, stage_number=number, **given)
        found = await self._queries.list_annotations(namespace, run_id, which, after_id=after_id, limit=size)
        ids = ["", *(stage.id for stage in definition.stages)]
        return messages.ListAnnotationsResponse(
            annotations=[
                annotation_message(record, ids[record.annotation.stage_number])
                for record in found
                if not prefix or f"{record.annotation.key}.".startswith(f"{prefix}.")
            ],
            next_page_token=page_token(binding, found[-1].annotation.id) if len(found) == size else "",
        )


def _filters(request: messages.ListAnnotationsRequest) -> dict[str, Any]:
    """The further filters that are given."""
    texts = ("scope", "scope_id", "actor_kind", "actor_id")
    given: dict[str, Any] = {name: value for name in texts if (value := getattr(request, name))}
    if request.HasField("generation"):
        given["generation"] = request.generation
    for name in ("since", "until"):
        if request.HasField(name):
            given[name] = time_of(getattr(request, name), name)
    return given
