"""Heavy libraries are imported by one thread at a time."""

import sys
import threading
from pathlib import Path
from types import ModuleType

import pytest

from stageline_sdk.ai._imports import import_alone

WITHIN_SECONDS = 20


def test_a_second_thread_waits_for_the_first_ones_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go = threading.Event(), threading.Event()
    order: list[str] = []
    told = ModuleType("told_by_the_test")
    vars(told).update(begun=begun, go=go, order=order)
    monkeypatch.setitem(sys.modules, told.__name__, told)
    (tmp_path / "slow_one.py").write_text(
        "import told_by_the_test as told\ntold.begun.set()\ntold.go.wait()\ntold.order.append('slow')\n"
    )
    (tmp_path / "quick_one.py").write_text("import told_by_the_test as told\ntold.order.append('quick')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    threads = [threading.Thread(target=import_alone, args=(name,)) for name in ("slow_one", "quick_one")]
    threads[0].start()
    assert begun.wait(WITHIN_SECONDS)
    threads[1].start()
    threads[1].join(0.2)
    assert order == []
    go.set()
    for thread in threads:
        thread.join(WITHIN_SECONDS)
    assert order == ["slow", "quick"]


def test_a_library_that_is_not_there_leaves_the_way_free() -> None:
    for _ in range(2):
        with pytest.raises(ImportError):
            import_alone("no_such_library_anywhere")
