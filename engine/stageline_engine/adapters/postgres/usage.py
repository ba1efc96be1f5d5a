"""Reading the ledger of AI calls."""

from collections.abc import Sequence
from typing import Any

from psycopg.types.numeric import Int4

from stageline_engine.adapters.postgres import rows
from stageline_engine.adapters.postgres.database import PostgresDatabase
from stageline_engine.adapters.postgres.statements import usage as statements
from stageline_engine.ports import BookedCall, UsageDimension, UsageFilter, UsagePosition, UsageSum


class PostgresUsage:
    """The UsageQueries port. See there for what each method promises."""

    def __init__(self, database: PostgresDatabase) -> None:
        """Takes the connections."""
        self._database = database

    async def list_calls(
        self,
        namespace: str,
        which: UsageFilter,
        *,
        after: UsagePosition | None = None,
        limit: int,
        with_contents: bool = False,
    ) -> Sequence[BookedCall]:
        """Returns calls, the newest first."""
        filters = _given(which)
        if filters is None:
            return ()
        statement = statements.list_calls(
            tuple(filters), after=after is not None, with_contents=with_contents
        )
        found = await self._database.run(
            statement, (namespace, Int4(limit), *(after or ()), *filters.values())
        )
        return [BookedCall(rows.ai_call_row(values), wasted) for wasted, *values in found]

    async def sum_calls(
        self, namespace: str, which: UsageFilter, group_by: Sequence[UsageDimension] = (), *, limit: int
    ) -> Sequence[UsageSum]:
        """Sums calls in groups, the most costly first."""
        filters = _given(which)
        if filters is None:
            return () if group_by else (UsageSum(),)
        statement = statements.sum_calls(tuple(filters), tuple(group_by))
        found = await self._database.run(statement, (namespace, Int4(limit), *filters.values()))
        return [rows.usage_sum(values, len(group_by)) for values in found]


def _given(which: UsageFilter) -> dict[str, Any] | None:
    """The filters that are given, with their values; None where one is no text that PostgreSQL can hold."""
    given = {name: getattr(which, name) for name in statements.FILTERS}
    given = {name: value for name, value in given.items() if value not in ("", None)}
    if any("\0" in value for value in given.values() if isinstance(value, str)):
        return None
    return {name: str(value) if name == "call_type" else value for name, value in given.items()}
