"""`python -m benchmarks.profiled_server FILE ARGUMENTS...`: the `stageline` command, sampled until it ends.

A timer of the process's CPU time interrupts the main thread, where the event loop runs, and the stack is noted. Unlike
a tracing profiler (tried: it made the server seven times slower, and small batches of large ones) this changes nothing
that is measured. What runs outside of Python shows as the Python function that called it.
"""

import contextlib
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType

from stageline_cli.main import main

# The kernel's own clock tick, 4 ms on most machines, is the lower bound.
SAMPLE_EVERY_SECONDS = 0.001

Stack = tuple[CodeType, ...]


@contextlib.contextmanager
def sampled(stacks: Counter[Stack]) -> Iterator[None]:
    """Counts the main thread's stacks, the outermost function first, for the length of the block."""

    def note(_number: int, frame: FrameType | None) -> None:
        stack = []
        while frame is not None:
            stack.append(frame.f_code)
            frame = frame.f_back
        stacks[tuple(reversed(stack))] += 1

    signal.signal(signal.SIGPROF, note)
    signal.setitimer(signal.ITIMER_PROF, SAMPLE_EVERY_SECONDS, SAMPLE_EVERY_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, signal.SIG_IGN)


def name_of(code: CodeType) -> str:
    """A function in one word: its file and its name."""
    return f"{code.co_filename}:{code.co_qualname}".replace(";", ",").replace(" ", "")


def run() -> None:
    """Runs the command in this thread; writes a line for each stack, as flame graph tools read it."""
    file = Path(sys.argv.pop(1))
    stacks: Counter[Stack] = Counter()
    try:
        with sampled(stacks):
            main()
    finally:
        lines = [f"{';'.join(map(name_of, stack))} {count}\n" for stack, count in stacks.items()]
        file.write_text("".join(lines))


if __name__ == "__main__":
    run()
