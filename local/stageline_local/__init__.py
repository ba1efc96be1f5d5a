"""Workflows inside one process: no server, no socket. For embedding, notebooks and tests.

What runs is what a deployment runs: the same control plane, the same worker, the same client. Only the wire is missing.
"""

from stageline_local.host import LocalHost
from stageline_local.sync_host import SyncLocalHost, run_local

__all__ = ["LocalHost", "SyncLocalHost", "run_local"]
