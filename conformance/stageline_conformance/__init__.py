"""The conformance suite for workers in any language: `docs/worker-protocol.md` as a hundred and sixty small scripts.

`stageline conformance --worker "command"` runs it. It knows the protos and gRPC, and nothing of the engine, the server or
the SDK.
"""

from stageline_conformance.registry import Case
from stageline_conformance.results import Report, Result
from stageline_conformance.suite import LANES_DEFAULT, run, select
from stageline_conformance.violations import WorkerNotStartedError

__all__ = ["LANES_DEFAULT", "Case", "Report", "Result", "WorkerNotStartedError", "run", "select"]
