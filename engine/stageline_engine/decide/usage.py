"""What an AI call is booked to."""

from datetime import datetime
from uuid import UUID

from stageline_engine.decide.view import RunView
from stageline_engine.model.ai_call import AiCall, AiCallRow
from stageline_engine.model.lease_token import attempt_of


def leased_call(
    view: RunView, number: int, lease_token: UUID, call: AiCall, now: datetime
) -> AiCallRow | None:
    """Returns the row of a call that was made under a lease, whatever has become of that since.

    Args:
        view: The run that the lease names.
        number: The stage that the lease names.
        lease_token: The secret of the lease; it tells the attempt. One that does not is taken for the present attempt's.
        call: What its maker told.
        now: The present time.

    Returns:
        The row; None where the lease names a stage that the run's workflow does not have.
    """
    stage = view.stages.get(number)
    if stage is None and not 1 <= number <= len(view.workflow.definition.stages):
        return None
    present = (stage.generation, stage.attempt) if stage else (0, 0)
    generation, attempt = attempt_of(lease_token) or present
    stage_id = stage.stage_id if stage else view.definition_of(number).id
    started_at = call.started_at or now
    return AiCallRow(
        view.run.namespace,
        call,
        started_at,
        now,
        view.run.id,
        number,
        stage_id,
        generation,
        attempt,
        lease_token,
    )


def unleased_call(
    namespace: str, call: AiCall, now: datetime, view: RunView | None = None, stage_id: str = ""
) -> AiCallRow:
    """Returns the row of a call that names no lease.

    Args:
        namespace: The tenant.
        call: What its maker told.
        now: The present time.
        view: The run that it is booked to, if any.
        stage_id: Of that run's workflow; empty for none.
    """
    started_at = call.started_at or now
    if view is None:
        return AiCallRow(namespace, call, started_at, now)
    number = view.workflow.definition.number_by_id.get(stage_id, 0)
    return AiCallRow(namespace, call, started_at, now, view.run.id, number, stage_id)
