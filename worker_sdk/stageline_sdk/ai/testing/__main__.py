"""A fake provider as a process: `python -m stageline_sdk.ai.testing`. It prints where it is, as variables for a shell, and serves until a signal.

    $ python -m stageline_sdk.ai.testing --port 8900 --pending-polls 3 > provider.env
    $ set -a; source provider.env; stageline worker my_module:worker

When it ends it prints its bill to standard error. All it says is made up; scripts need it in process (`FakeProvider`).
"""

import argparse
import signal
import sys
import threading

from stageline_sdk.ai.testing.provider import FakeProvider
from stageline_sdk.ai.testing.replies import BatchPlan


def main() -> None:
    """Serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(
        prog="python -m stageline_sdk.ai.testing", description="A fake AI provider."
    )
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; default: a free one")
    parser.add_argument("--pending-polls", type=int, default=0, help="looks at a batch before it ends")
    given = parser.parse_args()
    ended = threading.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *_: ended.set())
    with FakeProvider(port=given.port, batch_plan=BatchPlan(pending_polls=given.pending_polls)) as provider:
        for name, value in provider.environment().items():
            sys.stdout.write(f"{name}={value}\n")
        sys.stdout.flush()
        ended.wait()
        charges = provider.bill.charges
        sys.stderr.write(f"charged {provider.bill.total_usd} USD for {len(charges)} requests\n")


if __name__ == "__main__":
    main()
