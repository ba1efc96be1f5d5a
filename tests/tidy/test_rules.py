"""Every rule finds its sample: a rule that cannot fail protects nothing."""

from collections.abc import Callable

import pytest

from stageline_engine import ports
from tests.tidy import proto_rules, rules

BROKEN = [
    (rules.long_functions, "def f():\n" + "    x = 1\n" * 70),
    (rules.long_functions, "class A:\n  async def f(self):\n" + "    x = 1\n" * 70),
    (rules.long_rpc_methods, "class A:\n  async def CreateRun(self):\n" + "    x = 1\n" * 25),
    (rules.sleeps, "import time\ntime.sleep(0.1)"),
    (rules.sleeps, "async def f():\n    await asyncio.sleep(delay)"),
    (rules.sleeps, "from time import sleep\nsleep(1)"),
    (rules.mocks, "from unittest.mock import AsyncMock"),
    (rules.mocks, "from unittest import mock"),
    (rules.raises, "def decide():\n    raise ValueError"),
    (rules.impure_imports, "import asyncio"),
    (rules.impure_imports, "from orjson import loads"),
    (rules.impure_imports, "import stageline_server"),
    (rules.test_only_imports, "def f():\n    import pytest"),
    (rules.unitless_durations, "def f(poll_interval: float | None) -> None: ..."),
    (rules.unitless_durations, "class A:\n    timeout: int = 3"),
    (rules.sql_strings, 'x = "SELECT id\\nFROM runs"'),
    (rules.sql_strings, 'x = f"DELETE FROM jobs WHERE {y}"'),
]
SOUND = [
    (rules.long_functions, 'def f():\n    """' + "Long.\n" * 80 + '"""\n' + "    x = 1\n" * 60),
    (rules.long_rpc_methods, "def helper():\n" + "    x = 1\n" * 40),
    (rules.sleeps, "await asyncio.sleep(0)"),
    (rules.mocks, "import pytest"),
    (rules.raises, "def decide():\n    return Rejection()"),
    (rules.impure_imports, "from dataclasses import dataclass\nfrom stageline_engine.model.run import Run"),
    (rules.test_only_imports, "import testing_like_name"),
    (rules.unitless_durations, "def f(timeout: timedelta, timeout_seconds: float, usage: int): ..."),
    (rules.sql_strings, 'x = "select a file from the list"'),
]
REASONS = frozenset({"RUN_NOT_FOUND"})


@pytest.mark.parametrize(("rule", "source"), BROKEN)
def test_a_broken_sample_is_found(rule: Callable[[str], list[str]], source: str) -> None:
    assert len(rule(source)) == 1


@pytest.mark.parametrize(("rule", "source"), SOUND)
def test_a_sound_sample_is_left_alone(rule: Callable[[str], list[str]], source: str) -> None:
    assert rule(source) == []


@pytest.mark.parametrize(
    ("comment", "finding"),
    [
        ("// GetRun returns a run.", "GetRun: has no Errors: block"),
        ("// Errors:", "GetRun: its Errors: block lists nothing"),
        ("// Errors:\n// - MISSING: no such run.", "GetRun: MISSING is no status code"),
        ("// Errors:\n// - NOT_FOUND, GONE: no such run.", "GetRun: GONE is no ErrorReason"),
        (
            "// Errors:\n// - NOT_FOUND no such run.",
            "GetRun: not of the form `- CODE, REASON: text`: - NOT_FOUND no such run.",
        ),
    ],
)
def test_an_untold_error_is_found(comment: str, finding: str) -> None:
    proto = f"{comment}\n  rpc GetRun(GetRunRequest) returns (GetRunResponse);"
    assert proto_rules.untold_errors(proto, REASONS) == [finding]


@pytest.mark.parametrize(
    "comment",
    [
        "// Errors:\n// - NOT_FOUND, RUN_NOT_FOUND: none.\n//   Go on.",
        "// Errors: none besides the common ones.",
    ],
)
def test_a_told_error_is_left_alone(comment: str) -> None:
    proto = f"{comment}\nrpc GetRun(A) returns (B);"
    assert proto_rules.untold_errors(proto, REASONS) == []


def test_reasons_are_read_without_prefix_and_without_the_zero() -> None:
    proto = "enum E {\n  ERROR_REASON_UNSPECIFIED = 0;\n  ERROR_REASON_RUN_NOT_FOUND = 12;\n}"
    assert proto_rules.error_reasons(proto) == REASONS


def test_names_are_read_from_protocols_and_constants() -> None:
    source = "A_MAX = 1\nB_MAX: int = 2\n_C = 3\nclass Store(Protocol):\n    async def get(self): ...\n    def _x(self): ..."
    assert rules.constants(source) == ["A_MAX", "B_MAX"]
    assert rules.protocol_methods(source) == ["get"]


def test_every_store_says_what_is_atomic_and_what_may_fail() -> None:
    stores = [
        ports.BlobIndex,
        ports.BlobStore,
        ports.JobTransport,
        ports.LogStore,
        ports.RunQueries,
        ports.SessionStore,
        ports.TokenStore,
        ports.UnitOfWork,
        ports.UsageQueries,
        ports.WorkflowRegistry,
    ]
    for store in stores:
        told = f"{store.__doc__} {[getattr(method, '__doc__', '') for method in vars(store).values()]}"
        assert "Atomic:" in told, store
        assert "StorageUnavailableError" in told, store
