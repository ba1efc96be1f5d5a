"""Workflow definitions and the routes of their stages."""

# ruff: noqa: S608 -- what is put together here are our own column names, never a value

LOCK_WORKFLOW = b"SELECT pg_advisory_xact_lock($1)"
"""Makes registrations of one workflow wait for each other, so that its versions are counted without a gap."""

_VERSION = """
    SELECT version.name, version.version, version.digest, version.definition, version.created_at,
           (SELECT array_agg(route.id ORDER BY route.stage_number) FROM stage_routes AS route
            WHERE route.namespace = version.namespace AND route.workflow_name = version.name
              AND route.workflow_version = version.version)
    FROM workflow_versions AS version"""

FIND_BY_DIGEST = (
    f"{_VERSION} WHERE version.namespace = $1 AND version.name = $2 AND version.digest = $3".encode()
)
"""Reads the version that has a digest."""

GET_VERSION = (
    f"{_VERSION} WHERE version.namespace = $1 AND version.name = $2 AND version.version = $3".encode()
)
"""Reads a version."""

NEWEST_VERSION = b"SELECT max(version) FROM workflow_versions WHERE namespace = $1 AND name = $2"
"""Reads the number of the newest version."""

INSERT_VERSION = b"""
    INSERT INTO workflow_versions (namespace, name, version, digest, definition, created_at)
    SELECT $1, $2, coalesce(max(version), 0) + 1, $3, $4::json, $5
    FROM workflow_versions WHERE namespace = $1 AND name = $2
    RETURNING version"""
"""Stores the next version and returns its number."""

INSERT_ROUTES = b"""
    INSERT INTO stage_routes (namespace, workflow_name, workflow_version, stage_number, stage_id)
    SELECT $1, $2, $3, stage.number, stage.id
    FROM unnest($4::text[]) WITH ORDINALITY AS stage (id, number)
    ORDER BY stage.number
    RETURNING id, stage_number"""
"""Gives each stage of a version its route."""

LIST_NEWEST = f"""
    {_VERSION}
    WHERE version.namespace = $1 AND version.name > $2
      AND version.version = (SELECT max(newest.version) FROM workflow_versions AS newest
                             WHERE newest.namespace = version.namespace AND newest.name = version.name)
    ORDER BY version.name
    LIMIT $3""".encode()
"""Reads the newest version of each workflow, by name."""
