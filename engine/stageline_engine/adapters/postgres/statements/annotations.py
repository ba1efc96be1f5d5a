"""Annotations: which are known, and listing them."""

# ruff: noqa: S608 -- what is put together here are our own column names, never a value

from functools import cache

from stageline_engine.adapters.postgres.statements.columns import ANNOTATIONS

KNOWN_ANNOTATIONS = b"""
    SELECT stored.run_id, stored.id
    FROM unnest($1::uuid[], $2::text[]) AS wanted (run_id, id)
    JOIN annotations AS stored USING (run_id, id)"""
"""Finds those that are stored already."""

_CONDITIONS = {
    "key": "said.key = {}",
    "key_prefix": "starts_with(said.key, {})",
    "scope": "said.scope = {}",
    "scope_id": "said.scope_id = {}",
    "actor_kind": "said.actor_kind = {}",
    "actor_id": "said.actor_id = {}",
    "generation": "said.generation = {}",
    "stage_number": "said.stage_number = {}",
    "since": "said.created_at >= {}",
    "until": "said.created_at < {}",
}

FILTERS = tuple(_CONDITIONS)
"""What a listing can be narrowed by."""

# An id that is not there stands before all others.
_AFTER = """(said.created_at, said.id) > (
        coalesce((SELECT last.created_at FROM annotations AS last WHERE last.run_id = $2 AND last.id = $4),
                 '-infinity'::timestamptz), $4)"""


@cache
def list_annotations(given: tuple[str, ...], *, after: bool) -> bytes:
    """Builds the listing of a run's annotations; ``$1`` is the namespace, ``$2`` the run, ``$3`` the limit.

    Args:
        given: Which filters there are, of ``FILTERS``; their values follow as ``$4`` and so on, or ``$5`` where ``after``.
        after: Whether ``$4`` is the id after which the listing begins.
    """
    conditions = ["said.run_id = $2"]
    conditions += [_AFTER] if after else []
    first = 5 if after else 4
    conditions += [_CONDITIONS[name].format(f"${number}") for number, name in enumerate(given, first)]
    return f"""
    SELECT {ANNOTATIONS.qualified("said")}
    FROM annotations AS said
    JOIN runs AS run ON run.id = said.run_id AND run.namespace = $1
    WHERE {" AND ".join(conditions)}
    ORDER BY said.created_at, said.id
    LIMIT $3""".encode()
