"""What changes a run that exists beside its cancellation: reruns, and ends of waits."""

from stageline.v1 import run_pb2
from stageline.v1 import run_service_pb2 as messages
from stageline_engine.commands import RerunRun
from stageline_server.dispatch.plane import ControlPlane
from stageline_server.errors import accepted
from stageline_server.mapping.fields import namespace_of, optional_name, run_id_of
from stageline_server.mapping.to_commands import resume_stage_command
from stageline_server.services.run_reader import RunReader


class RunChanges:
    """Answers RerunRun and ResumeStage."""

    def __init__(self, plane: ControlPlane, reader: RunReader) -> None:
        """Takes the plane that carries commands out, and who reads runs."""
        self._plane = plane
        self._reader = reader

    async def rerun(self, request: messages.RerunRunRequest) -> run_pb2.Run:
        """Runs an ended run again, and returns it.

        Raises:
            RefusedError: As the protocol says of RerunRun.
        """
        namespace, run_id = namespace_of(request.namespace), run_id_of(request.run_id)
        stage_id = optional_name(request.from_stage_id, "from_stage_id")
        if not stage_id:
            details = await self._reader.details(namespace, run_id, with_outputs=False)
            stages = (await self._reader.definition(details)).stages
            stage_id = stages[0].id if stages else ""
        config = await self._reader.config(request.config, namespace) if request.HasField("config") else None
        command = RerunRun(namespace, run_id, stage_id, request.reason, config, request.request_id)
        accepted(await self._plane.rerun_run(command))
        return await self._reader.basic(namespace, run_id)

    async def resume(self, request: messages.ResumeStageRequest) -> run_pb2.Run:
        """Ends a wait, or has a check made, and returns the run.

        Raises:
            RefusedError: As the protocol says of ResumeStage.
        """
        command = resume_stage_command(request)
        accepted(await self._plane.resume_stage(command))
        return await self._reader.basic(command.namespace, command.run_id)
