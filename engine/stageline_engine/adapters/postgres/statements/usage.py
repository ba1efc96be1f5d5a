"""The ledger of AI calls: which are known, listing and summing them."""

# ruff: noqa: S608 -- what is put together here are our own column names, never a value

from collections.abc import Sequence
from functools import cache

from stageline_engine.adapters.postgres.statements.columns import AI_CALLS
from stageline_engine.model.ai_call import UNSUCCESSFUL
from stageline_engine.ports.usage import UsageDimension

KNOWN_AI_CALLS = b"""
    SELECT stored.namespace, stored.id, stored.is_open
    FROM unnest($1::text[], $2::uuid[]) AS wanted (namespace, id)
    JOIN ai_calls AS stored USING (namespace, id)"""
"""Finds those that are stored already."""

_CONDITIONS = {
    "run_id": "called.run_id = {}",
    "stage_id": "called.stage_id = {}",
    # By code points, whatever begins with the prefix and a dot lies between "." and the character after it.
    "topic_prefix": "(called.topic = {0} OR (called.topic >= {0} || '.' AND called.topic < {0} || '/'))",
    "model_key": "called.model_key = {}",
    "provider": "called.provider = {}",
    "call_type": "called.call_type = {}",
    "since": "called.started_at >= {}",
    "until": "called.started_at < {}",
    "batch_id": "called.batch_id = {}",
}

FILTERS = tuple(_CONDITIONS)
"""What a listing or a sum can be narrowed by."""

_STATES = ", ".join(sorted(f"'{state.value}'" for state in UNSUCCESSFUL))

_WASTED = f"""(called.lease_token IS NOT NULL AND coalesce(called.verdict,
        stage.run_id IS NULL OR stage.generation <> called.generation OR stage.attempt <> called.attempt
        OR stage.state IN ({_STATES}) OR lost.run_id IS NOT NULL))"""
"""``is_wasted`` of the model, in SQL."""

_CALLS_WITH_FATES = """ai_calls AS called
    LEFT JOIN stages AS stage ON stage.run_id = called.run_id AND stage.number = called.stage_number
    LEFT JOIN lost_leases AS lost ON lost.run_id = called.run_id AND lost.stage_number = called.stage_number
        AND lost.lease_token = called.lease_token"""

_SUMS = f"""count(*), coalesce(sum(called.input_tokens), 0)::bigint, coalesce(sum(called.output_tokens), 0)::bigint,
           coalesce(sum(called.cached_input_tokens), 0)::bigint, coalesce(sum(called.reasoning_tokens), 0)::bigint,
           coalesce(sum(called.cost), 0) AS total_cost, count(*) - count(called.cost),
           count(*) FILTER (WHERE {_WASTED}), coalesce(sum(called.cost) FILTER (WHERE {_WASTED}), 0)"""

_GROUPS = {
    UsageDimension.MODEL_KEY: "called.model_key",
    UsageDimension.PROVIDER: "called.provider",
    UsageDimension.TOPIC: "called.topic",
    UsageDimension.RUN: "coalesce(called.run_id::text, '')",
    UsageDimension.STAGE: "called.stage_id",
    UsageDimension.CALL_TYPE: "called.call_type",
    UsageDimension.DAY: "to_char(called.started_at AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
}

_TEXTS = {"prompt", "response"}


def _where(given: Sequence[str], first: int) -> str:
    conditions = ["called.namespace = $1"]
    conditions += [_CONDITIONS[name].format(f"${number}") for number, name in enumerate(given, first)]
    return " AND ".join(conditions)


@cache
def list_calls(given: tuple[str, ...], *, after: bool, with_contents: bool) -> bytes:
    """Builds the listing of calls; ``$1`` is the namespace, ``$2`` the limit.

    Args:
        given: Which filters there are, of ``FILTERS``; their values come last.
        after: Whether ``$3`` and ``$4`` are the start and the id after which the listing begins.
        with_contents: Whether the texts of prompts and responses come along.
    """
    columns = ", ".join(
        "NULL" if column.name in _TEXTS and not with_contents else f"called.{column.name}"
        for column in AI_CALLS.columns
    )
    where = _where(given, 5 if after else 3)
    where += " AND (called.started_at, called.id) < ($3, $4)" if after else ""
    return f"""
    SELECT {_WASTED}, {columns}
    FROM {_CALLS_WITH_FATES}
    WHERE {where}
    ORDER BY called.started_at DESC, called.id DESC
    LIMIT $2""".encode()


@cache
def sum_calls(given: tuple[str, ...], group_by: tuple[UsageDimension, ...]) -> bytes:
    """Builds the sums of calls; ``$1`` is the namespace, ``$2`` the limit, the values of the filters follow."""
    groups = [f'{_GROUPS[dimension]} COLLATE "C"' for dimension in group_by]
    names = [f"group_{number}" for number in range(len(groups))]
    selected = "".join(f"{sql} AS {name}, " for sql, name in zip(groups, names, strict=True))
    grouped = f"GROUP BY {', '.join(names)}" if names else ""
    return f"""
    SELECT {selected}{_SUMS}
    FROM {_CALLS_WITH_FATES}
    WHERE {_where(given, 3)}
    {grouped}
    ORDER BY {", ".join(["total_cost DESC", *names])}
    LIMIT $2""".encode()


SETTLE_CALLS = f"""
    UPDATE ai_calls AS settled SET verdict = {_WASTED}
    FROM {_CALLS_WITH_FATES}
    WHERE called.run_id = ANY ($1::uuid[]) AND called.lease_token IS NOT NULL
      AND (settled.namespace, settled.id) = (called.namespace, called.id)""".encode()
"""Writes down whether the calls of runs were wasted, while their stages still tell."""

SUM_OF_RUN = f"""
    SELECT {_SUMS}
    FROM {_CALLS_WITH_FATES}
    WHERE called.run_id = $1""".encode()
"""Sums the calls of a run."""
