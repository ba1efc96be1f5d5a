"""A person approves: the stage gives a token away and suspends. While it waits it costs one row, no worker and no poll.

    stageline dev
    stageline worker examples.approval:worker
    stageline run start approval --input '{"item": "a new server", "cost_usd": 4200}'
    stageline run logs RUN                                   # shows the command that approves it
    stageline run resume RUN approve --token TOKEN --output '{"approved": true, "by": "ada"}'

The token is a secret. This example logs it, so that it runs with nothing else; in earnest it goes by mail or chat to
whoever decides, and to nobody else.
"""

from datetime import timedelta

from pydantic import BaseModel, Field

from stageline_sdk import Context, NoInput, StillWaiting, Suspended, Worker, Workflow, stage


class Purchase(BaseModel):
    """What somebody wants to buy."""

    item: str
    cost_usd: float = Field(gt=0)


class Question(BaseModel):
    """What is asked, in words."""

    text: str


class Decision(BaseModel):
    """What was decided, and by whom."""

    approved: bool
    by: str = ""


class ApprovalConfig(BaseModel):
    """How long to wait for an answer."""

    wait_days: float = Field(default=7, gt=0, le=30)


@stage("ask")
def ask(ctx: Context[Purchase]) -> Question:
    """Puts the question into words."""
    return Question(text=f"May we buy {ctx.input.item} for {ctx.input.cost_usd:,.2f} USD?")


@stage("approve", mode="async-batch")
def approve(ctx: Context[Question, ApprovalConfig]) -> Decision | Suspended:
    """Asks a person, and waits without a worker."""
    token = ctx.resume_token("approval by finance")
    ctx.annotate("approval.asked", ctx.input.text, emit_event=True)
    ctx.log.info(
        ctx.input.text,
        approve=f"stageline run resume {ctx.run_id} {ctx.stage_id} --token {token} --output '{{\"approved\": true}}'",
        token=token,
    )
    return Suspended(never_poll=True, max_wait=timedelta(days=ctx.config.wait_days))


@approve.check
def look(ctx: Context[NoInput, ApprovalConfig], state: dict[str, str]) -> Decision | StillWaiting:
    """There is nothing to look at: only a person ends this wait. Called for `--check-now` alone."""
    return StillWaiting()


@stage("order")
def order(ctx: Context[Decision]) -> str:
    """Says what becomes of it."""
    return f"ordered, approved by {ctx.input.by or 'somebody'}" if ctx.input.approved else "not ordered"


approval = (
    Workflow(
        "approval",
        input=Purchase,
        description="Buys something if a person agrees.",
        run_timeout=timedelta(days=30),
    )
    .pipe(ask)
    .pipe(approve)
    .pipe(order)
    .build()
)
worker = Worker(approval)
