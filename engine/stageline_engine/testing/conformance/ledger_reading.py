"""Reading the ledger: filters that combine, pages that miss nothing, sums that match to the cent."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from stageline_engine.model.ai_call import CallType, Content
from stageline_engine.ports import UsageDimension, UsageFilter, UsagePosition
from stageline_engine.testing.ai_calls import LedgerScene
from stageline_engine.testing.conformance.base import Conformance


class LedgerReadingConformance(Conformance):
    """Listing and summing."""

    async def test_11_10_119_a_topic_prefix_ends_at_a_dot(self) -> None:
        async with self.scene() as scene:
            ledger = LedgerScene(scene)
            for topic in ("run.1", "run.1.stage", "run.10", "run.1-b", "run", "run.1/x", "a.run.1"):
                await ledger.record(ledger.new_call("1", topic))
            found = {one.row.call.topic for one in await ledger.calls(topic_prefix="run.1")}
            assert found == {"run.1", "run.1.stage"}
            assert (await ledger.total(topic_prefix="run.1")).cost == Decimal(2)
            assert (await ledger.total(topic_prefix="run")).calls == 6

    async def test_filters_combine(self) -> None:
        async with self.play("a", "b") as (play, run_id):
            ledger, now = LedgerScene(play.scene), play.scene.clock.now()
            wanted = ledger.new_call(
                topic="t", model_key="m", provider="p", batch_id="x", call_type=CallType.BATCH, started_at=now
            )
            await ledger.record(wanted, run_id=run_id, stage_id="b")
            others = [
                replace(wanted, topic="u"),
                replace(wanted, model_key="n"),
                replace(wanted, provider="q"),
                replace(wanted, batch_id=""),
                replace(wanted, call_type=CallType.EMBED),
                replace(wanted, started_at=now - timedelta(seconds=1)),
                replace(wanted, started_at=now + timedelta(seconds=1)),
            ]
            for call in others:
                await ledger.record(replace(call, id=play.scene.ids.new_token()), run_id=run_id, stage_id="b")
            await ledger.record(replace(wanted, id=play.scene.ids.new_token()), run_id=run_id, stage_id="a")
            other = await play.scene.create("flow")
            await ledger.record(replace(wanted, id=play.scene.ids.new_token()), run_id=other, stage_id="b")
            which: dict[str, Any] = {
                "run_id": run_id,
                "stage_id": "b",
                "topic_prefix": "t",
                "model_key": "m",
                "provider": "p",
                "call_type": CallType.BATCH,
                "since": now,
                "until": now + timedelta(seconds=1),
                "batch_id": "x",
            }
            assert [one.row.call for one in await ledger.calls(**which)] == [wanted]
            for name in which:
                fewer = {key: value for key, value in which.items() if key != name}
                assert len(await ledger.calls(**fewer)) == 2, name

    async def test_pages_are_the_newest_first_and_miss_nothing(self) -> None:
        async with self.scene() as scene:
            ledger, now = LedgerScene(scene), scene.clock.now()
            for second in (3, 1, 2, 1, 3):
                await ledger.record(ledger.new_call(started_at=now + timedelta(seconds=second)))
            pages: list[UUID] = []
            after: UsagePosition | None = None
            while page := await scene.backend.usage.list_calls(
                "default", UsageFilter(), after=after, limit=2
            ):
                pages += [one.row.call.id for one in page]
                after = UsagePosition(page[-1].row.started_at, page[-1].row.call.id)
            listed = await ledger.calls()
            assert pages == [one.row.call.id for one in listed]
            assert [(one.row.started_at - now).seconds for one in listed] == [3, 3, 2, 1, 1]

    async def test_contents_come_only_when_asked_for(self) -> None:
        async with self.scene() as scene:
            ledger = LedgerScene(scene)
            await ledger.record(ledger.new_call(prompt=Content(b"p" * 32, 3, '"p"')))
            [(row, _)] = await scene.backend.usage.list_calls("default", UsageFilter(), limit=1)
            assert row.call.prompt == Content(b"p" * 32, 3)

    async def test_11_10_116_sums_match_exactly_in_every_dimension(self) -> None:
        async with self.play("a") as (play, run_id):
            ledger, offer = LedgerScene(play.scene), await play.offer()
            now = play.scene.clock.now()
            costs = {CallType.TEXT: "1", CallType.OBJECT: "2", CallType.EMBED: "4", CallType.STREAM: "8"}
            for call_type, cost in costs.items():
                fields: dict[str, Any] = {"call_type": call_type, "model_key": "big", "provider": "one"}
                fields["started_at"] = now
                await ledger.record_under(offer, ledger.new_call(cost, "a.x", **fields))
            batch = ledger.new_call(
                "0.5", "a.y", call_type=CallType.BATCH, model_key="small", cached_input_tokens=3
            )
            await ledger.record_under(offer, replace(batch, started_at=now + timedelta(days=1)))
            failure = ledger.new_call(
                "0", "a.x.retry", model_key="big", input_tokens=None, error_message="429"
            )
            await ledger.record_under(offer, failure)
            await ledger.record(ledger.new_call(None, "b", model_key="small", reasoning_tokens=1))

            async def sums(*dimensions: UsageDimension) -> dict[tuple[str, ...], tuple[int, Decimal, int]]:
                found = await play.scene.backend.usage.sum_calls(
                    "default", UsageFilter(), dimensions, limit=100
                )
                assert [one.cost for one in found] == sorted((one.cost for one in found), reverse=True)
                return {one.group: (one.calls, one.cost, one.input_tokens) for one in found}

            day, next_day = now.date().isoformat(), (now + timedelta(days=1)).date().isoformat()
            assert await sums(UsageDimension.MODEL_KEY) == {
                ("big",): (5, Decimal(15), 40),
                ("small",): (2, Decimal("0.5"), 20),
            }
            assert await sums(UsageDimension.TOPIC, UsageDimension.PROVIDER) == {
                ("a.x", "one"): (4, Decimal(15), 40),
                ("a.y", ""): (1, Decimal("0.5"), 10),
                ("a.x.retry", ""): (1, Decimal(0), 0),
                ("b", ""): (1, Decimal(0), 10),
            }
            assert (await sums(UsageDimension.DAY))[(next_day,)] == (1, Decimal("0.5"), 10)
            assert (await sums(UsageDimension.DAY))[(day,)] == (6, Decimal(15), 50)
            assert (await sums(UsageDimension.RUN, UsageDimension.STAGE))[(str(run_id), "a")][0] == 6
            assert (await sums(UsageDimension.RUN))[("",)] == (1, Decimal(0), 10)
            assert (await sums(UsageDimension.CALL_TYPE))[("STREAM",)] == (1, Decimal(8), 10)
            total = await ledger.total()
            assert (total.calls, total.unknown_costs, total.cost) == (7, 1, Decimal("15.5"))
            assert (total.cached_input_tokens, total.reasoning_tokens, total.output_tokens) == (3, 1, 35)

    async def test_an_empty_ledger_sums_to_nothing(self) -> None:
        async with self.scene() as scene:
            total = await LedgerScene(scene).total()
            assert (total.calls, total.cost, total.group) == (0, Decimal(0), ())
            by_model = [UsageDimension.MODEL_KEY]
            assert (
                list(await scene.backend.usage.sum_calls("default", UsageFilter(), by_model, limit=1)) == []
            )

    async def test_the_limit_of_groups_keeps_the_most_costly(self) -> None:
        async with self.scene() as scene:
            ledger = LedgerScene(scene)
            for number in range(5):
                await ledger.record(ledger.new_call(str(number), f"topic-{number}"))
            found = await scene.backend.usage.sum_calls(
                "default", UsageFilter(), [UsageDimension.TOPIC], limit=2
            )
            assert [one.group for one in found] == [("topic-4",), ("topic-3",)]
