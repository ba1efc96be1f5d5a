"""What a server has done since it began, as plain numbers. Telemetry reads them; nothing depends on them."""

from collections import Counter
from collections.abc import Iterable

from stageline_engine.commands import Disposition, JobReportRecorded, ReportJob


class Counts:
    """Numbers that only grow.

    Attributes:
        offers: Jobs that were handed to a stream.
        offers_returned: Jobs that went back, since no worker was ever told of them or took them over.
        reports: Reports by what became of them, a member of ``Disposition``.
        outcomes: What recorded reports said, such as ``COMPLETED``.
        disconnects: Ends of streams by reason, without the prefix of ``DisconnectReason``.
    """

    def __init__(self) -> None:
        """Starts at nothing."""
        self.offers = 0
        self.offers_returned = 0
        self.reports: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.disconnects: Counter[str] = Counter()

    def reported(self, answered: Iterable[tuple[ReportJob, JobReportRecorded]]) -> None:
        """Takes the answers to a batch of reports that was committed."""
        for report, answer in answered:
            self.reports[answer.disposition.value] += 1
            if answer.disposition is Disposition.RECORDED:
                self.outcomes[outcome_name(report)] += 1


def outcome_name(report: ReportJob) -> str:
    """What a report says, in the words of the protos: ``COMPLETED``, ``FAILED``, ``STILL_WAITING`` and so on."""
    name = type(report.outcome).__name__
    return "".join(f"_{letter}" if letter.isupper() else letter for letter in name).lstrip("_").upper()
