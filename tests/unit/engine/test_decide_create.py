"""A run begins with its first group ready; a group begins with every stage of it."""

from stageline_engine import events
from stageline_engine.decide.advance import start_group
from stageline_engine.decide.create import AcceptedRun, decide_create
from stageline_engine.model.job import JobState
from stageline_engine.model.run import RunState
from stageline_engine.testing import workflow
from tests.unit.engine.views import NOW, RUN_ID, Life, kinds, registered


def test_a_run_is_created_started_and_given_its_first_group() -> None:
    accepted = AcceptedRun(
        registered(workflow("flow", ["a", "b"], "c")), '{"x":1}', '{"a":{}}', 7, {"k": "v"}
    )
    happened = list(decide_create(accepted, RUN_ID, NOW))
    assert kinds(happened) == ["RunCreated", "RunStarted", "RunAdvanced", "StageScheduled", "StageScheduled"]
    created = happened[0]
    assert isinstance(created, events.RunCreated)
    assert (created.input, created.config, dict(created.labels)) == ('{"x":1}', '{"a":{}}', {"k": "v"})
    run = created.run
    assert (run.id, run.state, run.priority, run.current_group) == (RUN_ID, RunState.PENDING, 7, 0)
    assert (run.workflow_name, run.workflow_version, run.created_at, run.version) == ("flow", 1, NOW, 0)


def test_a_group_names_its_stages_and_their_routes() -> None:
    happened = list(start_group(registered(), 2, NOW, generation=4))
    assert happened == [
        events.RunAdvanced(2, ("b", "c")),
        events.StageScheduled(2, "b", 2, 102, 4),
        events.StageScheduled(3, "c", 2, 103, 4),
    ]


def test_a_new_run_has_a_ready_job_for_each_stage_of_its_first_group() -> None:
    life = Life(workflow("flow", ["a", "b"], "c"), priority=9)
    run = life.focus(0).existing_run()
    assert (run.state, run.current_group, run.open_stages, run.started_at) == (RunState.RUNNING, 1, 2, NOW)
    assert [(job.state, job.priority, job.route_id) for job in life.jobs.values()] == [
        (JobState.READY, 9, 101),
        (JobState.READY, 9, 102),
    ]
    assert [(stage.attempt, stage.delivery, stage.lease_epoch) for stage in life.stages.values()] == [
        (0, 0, 0),
        (0, 0, 0),
    ]
