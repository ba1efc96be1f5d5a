"""The SDK loads nothing of the server, here, where everything is installed."""

import sys
from pathlib import Path

from tools.check_thin_install import forbidden_among, report


def test_importing_the_sdk_loads_no_server_module(tmp_path: Path) -> None:
    assert forbidden_among(report(Path(sys.executable), tmp_path)["loaded"]) == []


def test_the_check_would_notice() -> None:
    loaded = ["stageline_sdk", "stageline_server", "sqlalchemy", "grpc"]
    assert forbidden_among(loaded) == ["sqlalchemy", "stageline_server"]
