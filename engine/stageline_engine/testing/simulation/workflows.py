"""The workflows of random histories: small, and between them every feature that a definition can have."""

from collections.abc import Sequence
from datetime import timedelta

from stageline_engine.model.definition import RetryPolicy, StageTimeouts, WorkflowDefinition
from stageline_engine.testing.definitions import stage, workflow
from stageline_engine.testing.play import batch_stage

TWICE = RetryPolicy(max_attempts=2, initial_backoff=timedelta(seconds=2), jitter=0.5)
LABELS = {"gpu": "a100", "zone": "eu"}
"""What most workers say of themselves, and what one stage requires."""
WORKFLOWS: Sequence[WorkflowDefinition] = (
    workflow("single", stage("only", output_schema='{"type": "integer"}', retry=RetryPolicy(max_attempts=1))),
    workflow("line", stage("first", retry=TWICE), stage("second", retry=TWICE)),
    workflow("wait", [batch_stage("batch", retry=TWICE), "beside"], batch_stage("last", retry=TWICE)),
    workflow(
        "timed",
        stage("quick", retry=TWICE, timeouts=StageTimeouts(timedelta(seconds=20), timedelta(seconds=4))),
        stage("alive", retry=TWICE, timeouts=StageTimeouts(heartbeat=timedelta(seconds=4))),
        run_timeout=timedelta(seconds=90),
    ),
    workflow("fan", "split", [stage("left", retry=TWICE, required_labels=LABELS), "right"], "join"),
)
NAMESPACES = ("default", "other")
"""Two tenants with workflows of the same names, so that a mix-up shows."""
