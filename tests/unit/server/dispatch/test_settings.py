"""Paces that do not fit each other are refused at the start."""

from datetime import timedelta
from typing import Any

import pytest

from stageline_engine import limits
from stageline_server.dispatch.settings import PlaneSettings


def test_the_defaults_fit() -> None:
    assert PlaneSettings().heartbeat_interval * 2 <= PlaneSettings().session_timeout


@pytest.mark.parametrize(
    "wrong",
    [
        {"session_timeout": timedelta(seconds=1), "heartbeat_interval": timedelta(seconds=0.6)},
        {"committers": 0},
        {"batch_max": 0},
        {"batch_max": limits.COMMANDS_PER_BATCH_MAX + 1},
    ],
    ids=",".join,
)
def test_what_does_not_fit_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong)) if len(wrong) == 1 else "heartbeat_interval"):
        PlaneSettings(**wrong)
