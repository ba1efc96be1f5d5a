"""The ledger: every AI call is booked once, whatever becomes of its stage, and a run's totals are their sum."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from msgspec import structs

from stageline_engine.commands import AiCallRecorded, Disposition, Returned, StillWaiting
from stageline_engine.limits import POLL_INTERVAL_DEFAULT, SESSION_TIMEOUT
from stageline_engine.model.ai_call import CallType, Content
from stageline_engine.model.run import RunState
from stageline_engine.rejections import Reason, Rejection
from stageline_engine.testing.ai_calls import LedgerScene
from stageline_engine.testing.conformance.base import Conformance
from stageline_engine.testing.conformance.reruns import rerun
from stageline_engine.testing.play import batch_stage
from stageline_engine.testing.scene import completed, failed

NEW, AGAIN = AiCallRecorded(replayed=False), AiCallRecorded(replayed=True)
SERVERS = 4


class LedgerConformance(Conformance):
    """I7, and what is booked where."""

    async def test_every_field_of_a_call_is_kept(self) -> None:
        async with self.play("a") as (play, run_id):
            ledger, offer = LedgerScene(play.scene), await play.offer()
            call = ledger.new_call(
                "123456789.000000000001",
                "extract.summary",
                call_type=CallType.STREAM,
                model_key="fast",
                model_id="gemini-2.5-flash",
                provider="google",
                prompt=Content(b"p" * 32, 7, '"Say é"'),
                response=Content(b"r" * 32, 900_000),
                cached_input_tokens=3,
                reasoning_tokens=2,
                latency=timedelta(milliseconds=1234),
                started_at=play.scene.clock.now() - timedelta(seconds=3),
                metadata='{"b": 1,  "a": [2]}',
                batch_id="batch-1",
                error_message="too many",
            )
            assert await ledger.record_under(offer, call) == NEW
            [(row, wasted)] = await ledger.calls()
            assert row.call == call
            assert (row.run_id, row.stage_id, row.stage_number) == (run_id, "a", 1)
            assert (row.generation, row.attempt, wasted) == (1, 1, False)
            assert (row.started_at, row.recorded_at) == (call.started_at, play.scene.clock.now())
            assert row.lease_token == offer.lease.lease_token

    async def test_unknown_is_not_zero(self) -> None:
        async with self.play("a") as (play, run_id):
            ledger, offer = LedgerScene(play.scene), await play.offer()
            unknown = ledger.new_call(None, input_tokens=None, output_tokens=None)
            await ledger.record_under(offer, unknown)
            await ledger.record_under(offer, ledger.new_call("0", input_tokens=0, output_tokens=0))
            assert [one.row.call.cost for one in await ledger.calls()].count(None) == 1
            total = await ledger.check_totals(run_id)
            assert (total.calls, total.unknown_costs, total.cost) == (2, 1, Decimal(0))

    async def test_a_hundred_thousandths_add_up_exactly(self) -> None:
        async with self.play("a") as (play, run_id):
            ledger, offer = LedgerScene(play.scene), await play.offer()
            calls = [ledger.new_call("0.000001") for _ in range(100)]
            await ledger.report(offer, completed(1), *calls)
            assert (await ledger.check_totals(run_id)).cost == Decimal("0.0001")

    async def test_the_first_record_of_an_id_counts(self) -> None:
        async with self.play("a") as (play, run_id):
            ledger, offer = LedgerScene(play.scene), await play.offer()
            call = ledger.new_call("1")
            assert await ledger.record_under(offer, call) == NEW
            assert await ledger.record_under(offer, replace(call, cost=Decimal(2))) == AGAIN
            assert await ledger.record(call) == AGAIN
            recorded = await ledger.report(offer, completed(1), call, call)
            assert set(recorded.booked) == {call.id}
            assert (await ledger.check_totals(run_id)).cost == Decimal(1)

    async def test_known_calls_are_told_from_new_ones(self) -> None:
        async with self.scene() as scene:
            ledger = LedgerScene(scene)
            call, unknown = ledger.new_call(), ledger.new_call()
            await ledger.record(call)
            wanted = {"default": {call.id, unknown.id}, "other": {call.id}}
            async with scene.backend.persistence.begin() as work:
                assert dict(await work.known_ai_calls(wanted)) == {("default", call.id): False}

    async def test_the_end_of_an_open_call_takes_the_place_of_its_beginning(self) -> None:
        async with self.play("a") as (play, run_id):
            ledger, offer = LedgerScene(play.scene), await play.offer()
            ended = ledger.new_call("0.5")
            begun = replace(
                ended, cost=None, cost_source=None, input_tokens=None, output_tokens=None, is_open=True
            )
            assert [await ledger.record_under(offer, begun) for _ in range(2)] == [NEW, AGAIN]
            total = await ledger.check_totals(run_id)
            assert (total.calls, total.unknown_costs, total.cost) == (1, 1, Decimal(0))
            assert await ledger.record_under(offer, ended) == NEW
            assert [await ledger.record_under(offer, each) for each in (ended, begun)] == [AGAIN, AGAIN]
            total = await ledger.check_totals(run_id)
            assert (total.calls, total.unknown_costs, total.cost) == (1, 0, Decimal("0.5"))
            assert [one.row.call for one in await ledger.calls()] == [ended]

    async def test_a_report_closes_what_was_open_and_what_no_one_closes_stays(self) -> None:
        async with self.play("a") as (play, run_id):
            ledger, offer = LedgerScene(play.scene), await play.offer()
            unknown: dict[str, Any] = {"input_tokens": None, "output_tokens": None, "is_open": True}
            lost, begun = ledger.new_call(None, **unknown), ledger.new_call(None, **unknown)
            await ledger.record_under(offer, lost)
            await ledger.record_under(offer, begun)
            ended = ledger.new_call("0.25")
            await ledger.report(offer, completed(1), replace(ended, id=begun.id))
            total = await ledger.check_totals(run_id)
            assert (total.calls, total.unknown_costs, total.cost) == (2, 1, Decimal("0.25"))

    async def test_an_open_call_that_is_nobodys_is_closed_once_by_many_at_once(self) -> None:
        async with self.scene() as scene:
            ledger = LedgerScene(scene)
            begun = ledger.new_call(None, input_tokens=None, output_tokens=None, is_open=True)
            await ledger.record(begun)
            ended = replace(ledger.new_call("2"), id=begun.id)
            told = await asyncio.gather(*(ledger.record(ended) for _ in range(SERVERS)))
            assert sorted(told, key=str) == sorted([NEW] + [AGAIN] * (SERVERS - 1), key=str)
            assert (await ledger.total()).cost == Decimal(2)

    async def test_an_open_call_tells_no_cost(self) -> None:
        async with self.scene() as scene:
            ledger = LedgerScene(scene)
            refused = await ledger.record(ledger.new_call("1", is_open=True))
            assert isinstance(refused, Rejection)
            assert refused.violations[0].field == "open"

    async def test_another_namespace_has_ids_of_its_own(self) -> None:
        async with self.scene() as scene:
            ledger = LedgerScene(scene)
            call = ledger.new_call()
            assert await ledger.record(call) == NEW
            scene.namespace = "other"
            assert await ledger.calls() == []
            assert await ledger.record(call) == NEW
            assert len(await ledger.calls()) == 1

    async def test_a_call_is_booked_to_no_run_of_another_namespace(self) -> None:
        async with self.play("a") as (play, run_id):
            ledger, offer = LedgerScene(play.scene), await play.offer()
            play.scene.namespace = "other"
            refused = [
                await ledger.record_under(offer, ledger.new_call()),
                await ledger.record(ledger.new_call(), run_id=run_id),
            ]
            assert [one.reason for one in refused if isinstance(one, Rejection)] == [Reason.RUN_NOT_FOUND] * 2
            recorded = await ledger.report(
                structs.replace(offer, namespace="other"), completed(1), ledger.new_call()
            )
            assert (recorded.disposition, recorded.booked) == (Disposition.SUPERSEDED, ())
            play.scene.namespace = "default"
            assert (await ledger.check_totals(run_id)).calls == 0

    async def test_calls_ride_in_the_transaction_of_the_outcome(self) -> None:
        async with self.play("a") as (play, run_id):
            ledger, offer = LedgerScene(play.scene), await play.offer()
            call = ledger.new_call("0.25")
            recorded = await ledger.report(offer, completed("done"), call)
            assert (recorded.disposition, recorded.booked) == (Disposition.RECORDED, (call.id,))
            assert await play.run_state(run_id) is RunState.COMPLETED
            told = await play.payload(run_id, "workflow:completed")
            assert (told["total_cost"], told["total_tokens"]) == ("0.25", 15)
            assert (await ledger.check_totals(run_id)).wasted_calls == 0

    async def test_a_bad_record_costs_neither_the_report_nor_its_neighbours(self) -> None:
        async with self.play("a") as (play, run_id):
            ledger, offer = LedgerScene(play.scene), await play.offer()
            good, bad = ledger.new_call(), ledger.new_call(topic="no topic")
            recorded = await ledger.report(offer, completed("done"), bad, good)
            assert (recorded.disposition, recorded.booked) == (Disposition.RECORDED, (good.id,))
            assert isinstance(await ledger.record(bad), Rejection)
            assert (await ledger.check_totals(run_id)).calls == 1

    async def test_a_failed_attempt_is_waste_from_its_failure_on(self) -> None:
        async with self.play("a") as (play, run_id):
            ledger, first = LedgerScene(play.scene), await play.offer()
            await ledger.record_under(first, ledger.new_call("1"))
            assert (await ledger.check_totals(run_id)).wasted_cost == 0
            await ledger.report(first, failed(retry_after=timedelta(0)), ledger.new_call("2"))
            assert (await ledger.check_totals(run_id)).wasted_cost == Decimal(3)
            await play.scene.promote()
            second = await play.offer()
            await ledger.record_under(second, ledger.new_call("4"))
            await ledger.record_under(first, ledger.new_call("8"))  # late
            await ledger.report(second, completed(1))
            total = await ledger.check_totals(run_id)
            assert (total.cost, total.wasted_cost, total.wasted_calls) == (Decimal(15), Decimal(11), 3)
            assert {(one.row.attempt, one.wasted) for one in await ledger.calls()} == {(1, True), (2, False)}

    async def test_calls_of_a_lost_worker_are_waste_and_those_of_its_heir_are_not(self) -> None:
        async with self.play("a") as (play, run_id):
            ledger, lost = LedgerScene(play.scene), await play.offer()
            await ledger.record_under(lost, ledger.new_call("1"))
            play.scene.clock.advance(SESSION_TIMEOUT)
            await play.scene.reap()
            assert (await ledger.check_totals(run_id)).wasted_cost == Decimal(1)
            play.session_id = await play.scene.open_session()
            heir = await play.offer()
            await ledger.record_under(heir, ledger.new_call("2"))
            ghost = await ledger.report(lost, completed("late"), ledger.new_call("4"))
            assert ghost.disposition is Disposition.SUPERSEDED
            await ledger.report(heir, completed("done"), ledger.new_call("8"))
            total = await ledger.check_totals(run_id)
            assert (total.cost, total.wasted_cost) == (Decimal(15), Decimal(5))

    async def test_calls_of_a_job_that_was_handed_back_are_waste(self) -> None:
        async with self.play("a") as (play, run_id):
            ledger, offer = LedgerScene(play.scene), await play.offer()
            await ledger.report(offer, Returned(), ledger.new_call("1"))
            again = await play.offer()
            await ledger.report(again, completed(1), ledger.new_call("2"))
            assert (await ledger.check_totals(run_id)).wasted_cost == Decimal(1)

    async def test_a_cancelled_run_changes_in_cost_only(self) -> None:
        async with self.play("a", "b") as (play, run_id):
            ledger, first = LedgerScene(play.scene), await play.offer()
            await ledger.report(first, completed(1), ledger.new_call("1"))
            second = await play.offer()
            await play.scene.cancel(run_id)
            before, told = (await play.scene.details(run_id)).run, await play.scene.event_types(run_id)
            ghost = await ledger.report(second, completed(2), ledger.new_call("2"))
            assert ghost.disposition is Disposition.RUN_ENDED
            assert await ledger.record_under(second, ledger.new_call("4")) == NEW
            total, after = await ledger.check_totals(run_id), (await play.scene.details(run_id)).run
            assert (total.cost, total.wasted_cost) == (Decimal(7), Decimal(6))
            assert before == structs.replace(
                after,
                version=before.version,
                total_cost=before.total_cost,
                total_tokens=before.total_tokens,
            )
            assert await play.scene.event_types(run_id) == told

    async def test_what_a_rerun_discards_is_waste_and_what_it_keeps_is_not(self) -> None:
        async with self.play("a", "b", "c") as (play, run_id):
            ledger = LedgerScene(play.scene)
            offers = []
            for cost in ("1", "2", "4"):
                offers.append(await play.offer())
                await ledger.report(offers[-1], completed(1), ledger.new_call(cost))
            assert (await ledger.check_totals(run_id)).wasted_cost == 0
            await play.scene.kernel.dispatch(rerun(run_id, "b"))
            assert (await ledger.check_totals(run_id)).wasted_cost == Decimal(6)
            await play.finish(run_id)
            await ledger.record_under(offers[2], ledger.new_call("8"))  # of the old generation, and late
            total = await ledger.check_totals(run_id)
            assert (total.cost, total.wasted_cost) == (Decimal(15), Decimal(14))

    async def test_the_calls_of_a_wait_count_with_its_end(self) -> None:
        async with self.play(batch_stage()) as (play, run_id):
            ledger = LedgerScene(play.scene)
            submitted = await play.suspend()
            await ledger.record_under(submitted, ledger.new_call("1"))
            first = await play.check_after(POLL_INTERVAL_DEFAULT)
            await ledger.report(first, StillWaiting(), ledger.new_call("2"))
            second = await play.check_after(POLL_INTERVAL_DEFAULT)
            assert (await ledger.check_totals(run_id)).wasted_calls == 0
            await ledger.report(second, completed(1), ledger.new_call("4"))
            total = await ledger.check_totals(run_id)
            assert (total.cost, total.wasted_calls) == (Decimal(7), 0)

    async def test_the_calls_of_a_wait_that_fails_are_waste(self) -> None:
        async with self.play(batch_stage()) as (play, run_id):
            ledger = LedgerScene(play.scene)
            await ledger.record_under(await play.suspend(), ledger.new_call("1"))
            check = await play.check_after(POLL_INTERVAL_DEFAULT)
            await ledger.report(check, failed(retryable=False), ledger.new_call("2"))
            assert (await ledger.check_totals(run_id)).wasted_cost == Decimal(3)

    async def test_calls_without_a_lease_are_never_waste(self) -> None:
        async with self.play("a") as (play, run_id):
            ledger = LedgerScene(play.scene)
            await ledger.record(ledger.new_call("1"))
            await ledger.record(ledger.new_call("2"), run_id=run_id)
            await ledger.record(ledger.new_call("4"), run_id=run_id, stage_id="a")
            await play.scene.cancel(run_id)
            total = await ledger.check_totals(run_id)
            assert (total.cost, total.wasted_calls) == (Decimal(6), 0)
            assert (await ledger.total()).cost == Decimal(7)

    async def test_a_stage_that_the_workflow_does_not_have_is_refused(self) -> None:
        async with self.play("a") as (play, run_id):
            ledger = LedgerScene(play.scene)
            refused = await ledger.record(ledger.new_call(), run_id=run_id, stage_id="nowhere")
            assert isinstance(refused, Rejection)
            assert refused.reason is Reason.STAGE_NOT_FOUND
            offer = await play.offer()
            beyond = structs.replace(offer, lease=replace(offer.lease, stage_number=2))
            assert isinstance(await ledger.record_under(beyond, ledger.new_call()), Rejection)


class LedgerRaceConformance(Conformance):
    """Several servers book at once."""

    async def test_one_id_told_to_many_servers_is_booked_once(self) -> None:
        async with self.play("a") as (play, run_id):
            ledger, offer = LedgerScene(play.scene), await play.offer()
            calls = [ledger.new_call("1") for _ in range(5)]
            answers = await asyncio.gather(
                *[ledger.record_under(offer, call) for call in calls for _ in range(SERVERS)],
                *[ledger.record(call) for call in calls],
            )
            assert answers.count(NEW) == len(calls)
            assert answers.count(AGAIN) == len(calls) * SERVERS
            assert (await ledger.total()).calls == len(calls)
            await ledger.check_totals(run_id)

    async def test_calls_and_reports_of_one_run_at_once_lose_no_cent(self) -> None:
        async with self.play(["a", "b", "c", "d"], "e") as (play, run_id):
            ledger, offers = LedgerScene(play.scene), await play.offers()
            await asyncio.gather(
                *[ledger.record_under(offer, ledger.new_call("1")) for offer in offers for _ in range(5)],
                *[ledger.report(offer, completed(1), ledger.new_call("0.01")) for offer in offers],
            )
            total = await ledger.check_totals(run_id)
            assert (total.calls, total.cost, total.wasted_calls) == (24, Decimal("20.04"), 0)
