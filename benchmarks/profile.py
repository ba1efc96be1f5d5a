"""Where the server's CPU time goes: samples of its event loop's stacks, summed up by package and by function."""

import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

LINES_SHOWN = 30
EVENT_LOOP = "asyncio/runners.py:Runner.run"
OUR_ROOTS = ("engine", "server", "cli", "protos")


def profiled(file: Path) -> list[str]:
    """The command that starts `stageline` with a sampler.

    Args:
        file: Where the samples go when the server ends.
    """
    return [sys.executable, "-m", "benchmarks.profiled_server", str(file.absolute())]


def show_profile(file: Path) -> None:
    """Prints three tables, each line with its share of the samples of the event loop. Imports are left out."""
    own, within, packages = Counter[str](), Counter[str](), Counter[str]()
    total = 0
    for line in file.read_text().splitlines():
        stack, count = _read(line)
        if not stack:
            continue
        total += count
        own[_last(stack)] += count
        packages[_package(stack[-1])] += count
        for function in {_short(function) for function in stack}:
            within[function] += count
    _show("by package, itself", packages, total)
    _show("by function, itself", own, total)
    _show("by function, with all that it calls", within, total)


def _show(title: str, counts: Counter[str], total: int) -> None:
    print(f"\n{title} ({total} samples)")
    for name, count in counts.most_common(LINES_SHOWN):
        print(f"{count / total:7.1%}  {name}")


def _read(line: str) -> tuple[list[str], int]:
    """The functions from the event loop on, and how often they were seen; none where the loop did not run."""
    text, _, count = line.rpartition(" ")
    stack = text.split(";")
    starts = [place for place, function in enumerate(stack) if function.endswith(EVENT_LOOP)]
    is_import = any("importlib._bootstrap" in function for function in stack)
    return stack[starts[0] :] if starts and not is_import else [], int(count)


def _last(stack: list[str]) -> str:
    """The innermost function; of one that a dataclass generated, which has no place, also who called it."""
    called_by = f", called by {_short(stack[-2])}" if stack[-1].startswith("<string>") else ""
    return _short(stack[-1]) + called_by


def _short(function: str) -> str:
    """A function with the last parts of its path only."""
    file, _, name = function.rpartition(":")
    return f"{'/'.join(_inner(Path(file).parts)[-3:])}:{name}"


def _package(function: str) -> str:
    parts = _inner(Path(function.rpartition(":")[0]).parts)
    return "/".join(parts[:2]) if parts[0].startswith("stageline") and len(parts) > 2 else parts[0]


def _inner(parts: Iterable[str]) -> list[str]:
    """A path from the import root on; the standard library has none."""
    known = list(parts)
    for root in ("site-packages", *OUR_ROOTS):
        if root in known:
            return known[known.index(root) + 1 :]
    return ["standard library", *known[-2:]]
