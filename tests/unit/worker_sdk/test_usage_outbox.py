"""AI calls in a worker's session: kept until the server has them, whatever becomes of their job."""

from stageline.v1 import error_pb2, report_pb2, usage_pb2, worker_pb2
from stageline_sdk._session_items import JobItems
from stageline_sdk._session_jobs import JobTable
from stageline_sdk._session_usage import IN_REPORT_BYTES_MAX, IN_REPORT_MAX, UsageOutbox
from tests.support.usage import record


def waiting(outbox: UsageOutbox) -> list[str]:
    """Takes all that is to be sent."""
    found = []
    while (item := outbox.next_item()) is not None:
        found.append(item.usage.record.usage_id)
        outbox.sent()
    return found


def filled(count: int, lease_token: bytes = b"lease") -> tuple[UsageOutbox, list[usage_pb2.UsageRecord]]:
    outbox, calls = UsageOutbox(), [record() for _ in range(count)]
    for call in calls:
        outbox.add(lease_token, call)
    return outbox, calls


def test_a_call_is_sent_once_and_kept_until_it_is_acknowledged() -> None:
    outbox, [call] = filled(1)
    assert waiting(outbox) == [call.usage_id]
    assert (waiting(outbox), len(outbox)) == ([], 1)
    outbox.acknowledge([call.usage_id, "unheard of"])
    assert len(outbox) == 0


def test_a_new_stream_carries_again_what_was_not_acknowledged() -> None:
    outbox, calls = filled(3)
    waiting(outbox)
    outbox.acknowledge([calls[1].usage_id])
    outbox.begin_stream()
    assert waiting(outbox) == [calls[0].usage_id, calls[2].usage_id]


def test_what_is_acknowledged_before_it_is_sent_again_is_not_sent() -> None:
    outbox, calls = filled(2)
    outbox.acknowledge([calls[0].usage_id])
    assert waiting(outbox) == [calls[1].usage_id]


def test_of_one_id_the_first_counts() -> None:
    outbox, [call] = filled(1)
    outbox.add(b"other", record("9", usage_id=call.usage_id))
    item = outbox.next_item()
    assert item is not None
    assert (item.usage.record.cost_usd, item.usage.lease_token) == ("0.001", b"lease")


def test_a_report_carries_the_calls_of_its_lease_alone_and_they_stay_owed() -> None:
    outbox, calls = filled(2)
    other = record()
    outbox.add(b"other", other)
    report = report_pb2.Report(lease_token=b"lease")
    outbox.ride_in(report)
    assert [call.usage_id for call in report.usage] == [call.usage_id for call in calls]
    assert (waiting(outbox), len(outbox)) == ([other.usage_id], 3)


def test_a_report_has_room_for_so_many() -> None:
    outbox, _ = filled(IN_REPORT_MAX + 1)
    report = report_pb2.Report(lease_token=b"lease")
    outbox.ride_in(report)
    assert (len(report.usage), len(waiting(outbox))) == (IN_REPORT_MAX, 1)
    large = UsageOutbox()
    for _ in range(3):
        large.add(b"lease", record(metadata=b"x" * (IN_REPORT_BYTES_MAX // 2 - 200)))
    report = report_pb2.Report(lease_token=b"lease")
    large.ride_in(report)
    assert (len(report.usage), len(waiting(large))) == (2, 1)


def refused(reason: "error_pb2.ErrorReason.ValueType", **metadata: str) -> worker_pb2.ItemError:
    detail = error_pb2.ErrorDetail(reason=reason, message="no", metadata=metadata)
    return worker_pb2.ItemError(lease_token=b"lease", error=detail)


def test_a_call_that_can_never_be_booked_is_given_up_loudly() -> None:
    jobs = JobTable(1)
    bad, good = record(), record()
    for call in (bad, good):
        jobs.usage.add(b"lease", call)
    items = JobItems(jobs, lambda _: True)
    told = items.refused_item(refused(error_pb2.ERROR_REASON_INVALID_FIELD, usage_id=bad.usage_id))
    assert [notice.level for notice in told] == ["error"]  # type: ignore[union-attr]
    assert waiting(jobs.usage) == [good.usage_id]


def test_a_server_without_a_ledger_is_not_told_for_ever() -> None:
    jobs = JobTable(1)
    jobs.usage.add(b"lease", record())
    items = JobItems(jobs, lambda _: True)
    not_served = refused(error_pb2.ERROR_REASON_METHOD_NOT_SERVED, method="usage")
    assert len(items.refused_item(not_served)) == 1
    assert (len(jobs.usage), items.refused_item(not_served)) == (0, [])


def test_the_end_of_a_call_takes_the_place_of_its_beginning_that_was_not_sent_yet() -> None:
    outbox, begun = UsageOutbox(), record(None, open=True)
    outbox.add(b"lease", begun)
    outbox.add(b"lease", record("9", usage_id=begun.usage_id))
    item = outbox.next_item()
    assert item is not None
    assert item.usage.record.cost_usd == "9"
    assert waiting(outbox) == [begun.usage_id]


def test_an_acknowledgement_of_the_beginning_does_not_settle_the_end() -> None:
    outbox, begun = UsageOutbox(), record(None, open=True)
    outbox.add(b"lease", begun)
    assert waiting(outbox) == [begun.usage_id]
    outbox.add(b"lease", record("9", usage_id=begun.usage_id))
    assert waiting(outbox) == [begun.usage_id], "the end is sent, too"
    outbox.acknowledge([begun.usage_id])
    assert len(outbox) == 1
    outbox.acknowledge([begun.usage_id])
    assert len(outbox) == 0


def test_a_new_stream_carries_the_end_alone_and_one_acknowledgement_settles_it() -> None:
    outbox, begun = UsageOutbox(), record(None, open=True)
    outbox.add(b"lease", begun)
    waiting(outbox)
    outbox.add(b"lease", record("9", usage_id=begun.usage_id))
    outbox.begin_stream()
    assert waiting(outbox) == [begun.usage_id]
    outbox.acknowledge([begun.usage_id])
    assert len(outbox) == 0


def test_a_beginning_that_is_told_after_its_end_is_no_news() -> None:
    outbox, [call] = filled(1)
    outbox.add(b"lease", record(None, usage_id=call.usage_id, open=True))
    item = outbox.next_item()
    assert item is not None
    assert item.usage.record.cost_usd == "0.001"
