"""For tests of code that calls models: a fake provider that speaks the real protocols, and models that follow a script.

None of it reaches a network, and none of it is loaded by `stageline_sdk`.
"""

from stageline_sdk.ai.testing.asked import Asked
from stageline_sdk.ai.testing.bill import Bill, Charge
from stageline_sdk.ai.testing.files import StoredFile
from stageline_sdk.ai.testing.jobs import Item, Job
from stageline_sdk.ai.testing.provider import FakeProvider
from stageline_sdk.ai.testing.replies import BatchPlan, Failure, Reply, Tokens, ToolCall
from stageline_sdk.ai.testing.script import NotAskedError

__all__ = [
    "Asked",
    "BatchPlan",
    "Bill",
    "Charge",
    "Failure",
    "FakeProvider",
    "Item",
    "Job",
    "NotAskedError",
    "Reply",
    "StoredFile",
    "Tokens",
    "ToolCall",
]
