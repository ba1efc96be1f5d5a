"""The PostgreSQL adapter conforms."""

from stageline_engine.testing import conformance
from tests.integration.postgres.backends import OnPostgres


class TestBlobIndex(OnPostgres, conformance.BlobIndexConformance): ...


class TestPayloads(OnPostgres, conformance.PayloadConformance): ...


class TestCommits(OnPostgres, conformance.CommitConformance): ...


class TestConsumers(OnPostgres, conformance.ConsumerConformance): ...


class TestRetention(OnPostgres, conformance.RetentionConformance): ...


class TestFlow(OnPostgres, conformance.FlowConformance): ...


class TestKeys(OnPostgres, conformance.KeyConformance): ...


class TestLeases(OnPostgres, conformance.LeaseConformance): ...


class TestLedger(OnPostgres, conformance.LedgerConformance): ...


class TestLedgerReading(OnPostgres, conformance.LedgerReadingConformance): ...


class TestLedgerRace(OnPostgres, conformance.LedgerRaceConformance): ...


class TestLogs(OnPostgres, conformance.LogConformance): ...


class TestOutbox(OnPostgres, conformance.OutboxConformance): ...


class TestQueries(OnPostgres, conformance.QueryConformance): ...


class TestQueue(OnPostgres, conformance.QueueConformance): ...


class TestRaces(OnPostgres, conformance.RaceConformance): ...


class TestRegistry(OnPostgres, conformance.RegistryConformance): ...


class TestSessions(OnPostgres, conformance.SessionConformance): ...


class TestTransactions(OnPostgres, conformance.TransactionConformance): ...


class TestTransport(OnPostgres, conformance.TransportConformance): ...


class TestAnnotations(OnPostgres, conformance.AnnotationConformance): ...


class TestRepairs(OnPostgres, conformance.RepairConformance): ...


class TestReruns(OnPostgres, conformance.RerunConformance): ...


class TestTimeouts(OnPostgres, conformance.TimeoutConformance): ...


class TestUpkeep(OnPostgres, conformance.UpkeepConformance): ...


class TestUpkeepRaces(OnPostgres, conformance.UpkeepRaceConformance): ...


class TestWaits(OnPostgres, conformance.WaitConformance): ...


def test_every_suite_is_run() -> None:
    run = {base for case in globals().values() if isinstance(case, type) for base in case.__mro__}
    assert set(conformance.SUITES) <= run
