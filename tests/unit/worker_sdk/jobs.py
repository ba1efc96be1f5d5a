"""Jobs, and stages that return or raise what a test says."""

from typing import Any

from stageline_sdk import Context, NoInput, Stage, stage
from stageline_sdk._job import Job, Outcome, StageFailure


def job(given: bytes = b"null", config: bytes = b"{}", **more: Any) -> Job:
    return Job(
        run_id="r", workflow_name="w", workflow_version=1, stage_id="s", input=given, config=config, **more
    )


def failure(outcome: Outcome) -> StageFailure:
    assert isinstance(outcome, StageFailure)
    return outcome


def returns(value: Any, kind: Any) -> Stage[Any, Any, Any]:
    async def function(ctx: Context[NoInput]) -> Any:
        return value

    function.__annotations__["return"] = kind
    return stage("s")(function)


def raises(error: BaseException) -> tuple[Stage[Any, None, Any], Stage[Any, None, Any]]:
    @stage("s")
    async def on_loop(ctx: Context[NoInput]) -> None:
        raise error

    @stage("s")
    def in_thread(ctx: Context[NoInput]) -> None:
        raise error

    return on_loop, in_thread
