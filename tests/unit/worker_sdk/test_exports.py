"""The public surface is a list, and importing it is light."""

import importlib
import subprocess
import sys
from pathlib import Path

import stageline_sdk

GOLDEN = Path(__file__).parents[2] / "golden/sdk_exports.txt"


def test_the_exports_are_those_of_the_golden_list() -> None:
    exports = [f"stageline_sdk.{name}" for name in stageline_sdk.__all__]
    for part in ("ai", "ai.testing", "conventions", "presets", "testing"):
        module = importlib.import_module(f"stageline_sdk.{part}")
        exports += [f"stageline_sdk.{part}.{name}" for name in module.__all__]
    in_order = sorted(set(exports), key=lambda name: (name.count("."), name))
    assert in_order == GOLDEN.read_text().splitlines()
    assert len(exports) == len(in_order)


def test_every_export_exists_and_is_documented() -> None:
    for name in stageline_sdk.__all__:
        assert getattr(stageline_sdk, name).__doc__, name


def test_importing_the_sdk_loads_neither_grpc_nor_protobuf() -> None:
    code = "import sys, stageline_sdk; print([m for m in ('grpc', 'google.protobuf', 'stageline') if m in sys.modules])"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=50
    )
    assert loaded.stdout.strip() == "[]"
