"""What another tenant tries: to it, a run that is not its own does not exist (I10)."""

from stageline_engine import commands
from stageline_engine.events import Annotation
from stageline_engine.ports import AnnotationFilter
from stageline_engine.rejections import Reason, Rejection
from stageline_engine.testing.scene import Scene, completed
from stageline_engine.testing.simulation.choices import Choices
from stageline_engine.testing.simulation.history import History
from stageline_engine.testing.simulation.moves import act
from stageline_engine.testing.simulation.workflows import NAMESPACES
from stageline_engine.testing.simulation.world import send_one


@act()
async def trespass(history: History, choose: Choices) -> None:
    """Any command or question about another tenant's run."""
    run_id = choose.one_of(list(history.runs))
    known = history.runs[run_id]
    stranger = next(name for name in NAMESPACES if name != known.namespace)
    definition = history.world.workflows[known.namespace, known.workflow_name].definition
    stage_id = definition.stages[0].id
    command = choose.one_of(
        (
            commands.CancelRun(stranger, run_id),
            commands.RerunRun(stranger, run_id, stage_id),
            commands.AnnotateRun(stranger, run_id, (Annotation("x", "key", "1"),)),
            commands.ResumeStage(stranger, run_id, stage_id, b"token", completed(1)),
        )
    )
    answer = await history.world.same(lambda scene: send_one(scene, command), stranger)
    assert isinstance(answer, Rejection)
    assert answer.reason is Reason.RUN_NOT_FOUND

    async def ask(scene: Scene) -> list[object]:
        queries = scene.backend.queries
        return [
            await queries.get_run(stranger, run_id, with_outputs=True),
            await queries.list_events(stranger, run_id, after_sequence=0, limit=9),
            list(await queries.list_annotations(stranger, run_id, AnnotationFilter(), limit=9)),
            dict(await queries.read_outputs(stranger, run_id, [1])),
            list(await scene.backend.logs.list(stranger, run_id, limit=9)),
        ]

    assert await history.world.same(ask, stranger) == [None, None, [], {}, []]


@act()
async def report_for_another(history: History, choose: Choices) -> None:
    """A worker of one tenant that has got hold of another's token."""
    if not history.offers:
        return
    offer = choose.one_of(history.offers)
    stranger = next(name for name in NAMESPACES if name != offer.namespace)
    lease = offer.lease
    names = (stranger, lease.run_id, lease.stage_number, lease.lease_token)
    report = commands.ReportJob(*names, completed(1))
    recorded = await history.world.same(lambda scene: send_one(scene, report), stranger)
    assert recorded == commands.JobReportRecorded(commands.Disposition.SUPERSEDED)
    progress = commands.ReportProgress(*names, 0.5)
    told = await history.world.same(lambda scene: send_one(scene, progress), stranger)
    assert told == commands.ProgressRecorded(recorded=False)
