"""Values of any size between processes: frames stay small, workers need no credentials of any store."""

import hashlib

import pytest

from stageline_engine.limits import FRAME_BYTES_MAX, PAYLOAD_BYTES_MAX
from stageline_sdk import SyncClient
from tests.support.invariants import violations
from tests.support.stack import Stack

pytestmark = pytest.mark.timeout(180)

WORKER = "tests.acceptance.large:worker"


def test_an_output_of_64_mib_reaches_the_next_stage_and_the_client(stack: Stack) -> None:
    assert PAYLOAD_BYTES_MAX == 64 * FRAME_BYTES_MAX
    server = stack.dev()
    stack.worker(WORKER, server)
    with SyncClient(server.address) as client:
        result = client.run_and_wait("largest", PAYLOAD_BYTES_MAX)
        assert result.is_completed, result.error
        text = result.stage("make").output
        assert len(text) == PAYLOAD_BYTES_MAX - 2
        assert result.output == [str(len(text)), hashlib.sha256(text.encode()).hexdigest()]
        over = client.run_and_wait("largest", PAYLOAD_BYTES_MAX + 1)
    assert over.error is not None
    assert "67,108,865 bytes" in over.error.message
    assert violations(server.dsn) == {}
