"""What processes use, read from Linux's /proc: CPU time and memory of a process, or of a whole PostgreSQL."""

import contextlib
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_SAMPLE_EVERY_SECONDS = 0.25
MEBIBYTE = 1024 * 1024


def cpu_seconds(pid: int) -> float:
    """User and system time that a process itself has used so far."""
    fields = _stat_fields(pid)
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def database_cpu_seconds(postmaster: int) -> float:
    """User and system time of a PostgreSQL: the main process, its living children, and those that have ended."""
    fields = _stat_fields(postmaster)
    ended = (int(fields[13]) + int(fields[14])) / _TICKS_PER_SECOND
    living = 0.0
    for pid in children_of(postmaster):
        with contextlib.suppress(OSError):
            living += cpu_seconds(pid)
    return cpu_seconds(postmaster) + ended + living


def machine_cpu_seconds() -> float:
    """Time that all processors of the machine were busy so far, whoever used them; time taken by its host included."""
    user, nice, system, _idle, _wait, irq, softirq, steal, *_ = map(
        int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    )
    return (user + nice + system + irq + softirq + steal) / _TICKS_PER_SECOND


def peak_memory_bytes(pid: int) -> int:
    """The most memory that a process has ever had resident."""
    return _kibibytes(Path(f"/proc/{pid}/status"), "VmHWM")


def database_memory_bytes(postmaster: int) -> int:
    """Memory of a PostgreSQL now, pages that its processes share counted once (proportional set size)."""
    total = 0
    for pid in [postmaster, *children_of(postmaster)]:
        with contextlib.suppress(OSError):
            total += _kibibytes(Path(f"/proc/{pid}/smaps_rollup"), "Pss")
    return total


def children_of(pid: int) -> list[int]:
    """The living children of a process."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int(_stat_fields(int(folder.name))[1]) == pid:
                found.append(int(folder.name))
    return found


class Peak:
    """Keeps the highest value of something that can only be asked for its present value."""

    def __init__(self, probe: Callable[[], int]) -> None:
        """Starts nothing yet.

        Args:
            probe: Asked four times a second, in a thread.
        """
        self._probe = probe
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peak", daemon=True)
        self.value = 0

    def __enter__(self) -> "Peak":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            with contextlib.suppress(OSError):
                self.value = max(self.value, self._probe())
            if self._ended.wait(_SAMPLE_EVERY_SECONDS):
                return


def _stat_fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat behind the name, which may itself hold blanks: the first is the state."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _kibibytes(file: Path, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", file.read_text(), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0
