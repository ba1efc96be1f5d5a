"""protos/testdata/frames.json says of each frame what every reader makes of it."""

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from stageline.v1 import worker_pb2

VECTORS = Path(__file__).parents[3] / "protos/testdata/frames.json"
CASES: list[dict[str, Any]] = json.loads(VECTORS.read_text(encoding="utf-8"))["cases"]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_a_frame_is_read_from_its_bytes(case: dict[str, Any]) -> None:
    frame = getattr(worker_pb2, case["message"]).FromString(bytes.fromhex(case["hex"]))
    assert json_format.MessageToDict(frame) == case["json"]
