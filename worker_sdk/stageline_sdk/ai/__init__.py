"""AI calls of stages. Every call leaves a record: what it was for, what it cost, whatever becomes of the stage.

`ctx.ai` is a `StageAi`. What calls models on top of it makes a `UsageRecord` of each call and gives it to the recorder.
"""

from stageline_sdk.ai.records import CallType, Contents, CostSource, UsageRecord
from stageline_sdk.ai.stage_ai import StageAi, UsageRecorder

__all__ = ["CallType", "Contents", "CostSource", "StageAi", "UsageRecord", "UsageRecorder"]
