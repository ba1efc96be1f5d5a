"""The annotations of a run, a page at a time."""

from stageline.v1 import run_service_pb2 as messages
from stageline_engine.ports import AnnotationFilter
from stageline_server.dispatch.ports import Ports
from stageline_server.errors import RefusedError
from stageline_server.mapping.annotations import annotation_message
from stageline_server.mapping.fields import namespace_of, optional_name, page_size_of, run_id_of
from stageline_server.mapping.page_tokens import page_token, position_of
from stageline_server.services.run_logs import stage_not_found
from stageline_server.services.run_reader import RunReader


class RunAnnotationReader:
    """Answers ListAnnotations."""

    def __init__(self, ports: Ports, reader: RunReader) -> None:
        """Takes what to read from, and who knows the run's stages."""
        self._queries = ports.queries
        self._reader = reader

    async def page(self, request: messages.ListAnnotationsRequest) -> messages.ListAnnotationsResponse:
        """Returns one page.

        Raises:
            RefusedError: There is no such run or stage, or a field breaks its rule.
        """
        namespace, run_id = namespace_of(request.namespace), run_id_of(request.run_id)
        size, prefix = page_size_of(request.page_size), optional_name(request.key_prefix, "key_prefix")
        binding = ("ListAnnotations", namespace, str(run_id), prefix, request.stage_id)
        after_id = position_of(request.page_token, binding, str) or ""
        run = (await self._reader.details(namespace, run_id, with_outputs=False)).run
        definition = await self._reader.definition(run)
        number = definition.number_by_id.get(request.stage_id, 0) if request.stage_id else None
        if number == 0:
            known = list(definition.number_by_id)
            raise RefusedError(
                stage_not_found(run.workflow_name, run.workflow_version, request.stage_id, known)
            )
        which = AnnotationFilter(key_prefix=prefix, stage_number=number)
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
