"""The log lines of a run, a page at a time."""

from stageline.v1 import run_service_pb2 as messages
from stageline_engine.ports import LogLine
from stageline_server.dispatch.ports import Ports
from stageline_server.errors import Refusal, RefusedError
from stageline_server.mapping.fields import namespace_of, page_size_of, run_id_of
from stageline_server.mapping.page_tokens import page_token, position_of
from stageline_server.mapping.to_protos import log_level, log_message
from stageline_server.services.run_reader import RunReader

STAGE_IDS_TOLD_MAX = 50
"""Stage ids named in a refusal."""


class RunLogReader:
    """Answers ListRunLogs."""

    def __init__(self, ports: Ports, reader: RunReader) -> None:
        """Takes the log lines to read, and who knows the run's stages."""
        self._lines = ports.logs
        self._reader = reader

    async def page(self, request: messages.ListRunLogsRequest) -> messages.ListRunLogsResponse:
        """Returns one page.

        Raises:
            RefusedError: There is no such run or stage, or a field breaks its rule.
        """
        namespace, run_id = namespace_of(request.namespace), run_id_of(request.run_id)
        size = page_size_of(request.page_size)
        binding = ("ListRunLogs", namespace, str(run_id), request.stage_id, int(request.level_min))
        after_id = position_of(request.page_token, binding, int) or 0
        run = (await self._reader.details(namespace, run_id, with_outputs=False)).run
        definition = await self._reader.definition(run)
        number = 0
        if request.stage_id:
            number = definition.number_by_id.get(request.stage_id, 0)
            if not number:
                name, version = run.workflow_name, run.workflow_version
                raise RefusedError(
                    stage_not_found(name, version, request.stage_id, list(definition.number_by_id))
                )
        lines = await self._lines.list(namespace, run_id, after_id=after_id, stage_number=number, limit=size)
        ids = [stage.id for stage in definition.stages]
        shown = [line for line in lines if _grave_enough(line, request.level_min)]
        return messages.ListRunLogsResponse(
            entries=[log_message(line, ids[line.stage_number - 1]) for line in shown],
            next_page_token=page_token(binding, lines[-1].id) if len(lines) == size else "",
        )


def _grave_enough(line: LogLine, level_min: int) -> bool:
    return log_level(line.level) >= level_min


def stage_not_found(workflow_name: str, version: int, stage_id: str, known: list[str]) -> Refusal:
    """The refusal of a stage that the workflow version does not have."""
    message = f"Workflow {workflow_name!r} version {version} has no stage {stage_id[:128]!r}."
    facts = {
        "workflow_name": workflow_name,
        "workflow_version": str(version),
        "stage_id": stage_id[:128],
        "valid_stage_ids": ",".join(known[:STAGE_IDS_TOLD_MAX]),
    }
    return Refusal("STAGE_NOT_FOUND", message, facts)
