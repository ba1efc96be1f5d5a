"""What each connection is set to, and the smallest statements."""

CONFIGURE = b"""
    SELECT set_config('TimeZone', 'UTC', false),
           set_config('jit', 'off', false),
           set_config('plan_cache_mode', 'force_generic_plan', false),
           set_config('enable_seqscan', 'off', false),
           set_config('enable_hashjoin', 'off', false),
           set_config('enable_mergejoin', 'off', false)"""
"""Makes plans that hold whatever the tables' sizes become.

A plan made while a queue is empty would scan it, and go on scanning it when it has grown to a hundred thousand rows, until
statistics catch up. Every statement here finds its rows by an index, for each row of a small array, so the planner is
left no other choice, and a prepared statement is planned once.
"""

PLAN_FOR_VALUES = b"SET LOCAL plan_cache_mode = force_custom_plan"
"""For the one statement whose best index depends on what is asked for: a list of runs by label or time."""

BEGIN = b"BEGIN"
COMMIT = b"COMMIT"
ROLLBACK = b"ROLLBACK"
DATABASE_TIME = b"SELECT clock_timestamp()"
BEGIN_SNAPSHOT = b"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
NOTIFY = b"SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS given (payload)"
LISTEN = b"LISTEN stageline_hints"
