"""The in-memory adapter conforms."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from stageline_engine.testing import Backend, conformance, in_memory


class InMemory:
    @asynccontextmanager
    async def backend(self) -> AsyncIterator[Backend]:
        yield in_memory()


class TestBlobIndex(InMemory, conformance.BlobIndexConformance): ...


class TestPayloads(InMemory, conformance.PayloadConformance): ...


class TestCommits(InMemory, conformance.CommitConformance): ...


class TestConsumers(InMemory, conformance.ConsumerConformance): ...


class TestRetention(InMemory, conformance.RetentionConformance): ...


class TestExecution(InMemory, conformance.ExecutionConformance): ...


class TestFlow(InMemory, conformance.FlowConformance): ...


class TestKeys(InMemory, conformance.KeyConformance): ...


class TestLeases(InMemory, conformance.LeaseConformance): ...


class TestLedger(InMemory, conformance.LedgerConformance): ...


class TestLedgerReading(InMemory, conformance.LedgerReadingConformance): ...


class TestLedgerRace(InMemory, conformance.LedgerRaceConformance): ...


class TestLogs(InMemory, conformance.LogConformance): ...


class TestLostDefinitions(InMemory, conformance.LostDefinitionConformance): ...


class TestOutbox(InMemory, conformance.OutboxConformance): ...


class TestQueries(InMemory, conformance.QueryConformance): ...


class TestQueue(InMemory, conformance.QueueConformance): ...


class TestRaces(InMemory, conformance.RaceConformance): ...


class TestRegistry(InMemory, conformance.RegistryConformance): ...


class TestSessions(InMemory, conformance.SessionConformance): ...


class TestSubmissions(InMemory, conformance.SubmissionConformance): ...


class TestTransactions(InMemory, conformance.TransactionConformance): ...


class TestTransport(InMemory, conformance.TransportConformance): ...


def test_every_suite_is_run() -> None:
    run = {base for case in globals().values() if isinstance(case, type) for base in case.__mro__}
    assert set(conformance.SUITES) <= run


class TestUpkeep(InMemory, conformance.UpkeepConformance): ...


class TestUpkeepRaces(InMemory, conformance.UpkeepRaceConformance): ...


class TestWaits(InMemory, conformance.WaitConformance): ...


class TestTimeouts(InMemory, conformance.TimeoutConformance): ...


class TestReruns(InMemory, conformance.RerunConformance): ...


class TestRepairs(InMemory, conformance.RepairConformance): ...


class TestAnnotations(InMemory, conformance.AnnotationConformance): ...
