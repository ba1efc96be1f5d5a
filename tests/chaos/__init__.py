"""Chaos: real processes, real sockets and a real database, broken on purpose, and an auditor at the end.

`make chaos` plays every scenario long and prints a table; `test_chaos.py` plays each short. `docs/reliability.md` has the
promise that they hold Stageline to, and the last figures.
"""

import os

# Processes are started while proxies work in other threads: gRPC's fork handlers would say so each time.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
