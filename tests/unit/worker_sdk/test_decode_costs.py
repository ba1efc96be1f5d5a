"""What a run cost, as the client tells it."""

from decimal import Decimal

from stageline.v1 import run_pb2
from stageline_sdk._decode import decode_run


def test_a_run_tells_its_calls_and_what_was_wasted() -> None:
    told = run_pb2.Run(
        total_cost_usd="0.5", ai_call_count=3, unknown_cost_count=1, wasted_cost_usd="0.250000000001"
    )
    run = decode_run(told)
    assert (run.ai_call_count, run.unknown_cost_count) == (3, 1)
    assert (run.total_cost_usd, run.wasted_cost_usd) == (Decimal("0.5"), Decimal("0.250000000001"))
    assert decode_run(run_pb2.Run()).wasted_cost_usd == 0
