"""A schema as text, from PostgreSQL's own catalogue: what autogeneration does not compare is in it too."""

import psycopg

# Constraint definitions of PostgreSQL 18 include NOT NULL ones; columns say that already.
_QUERIES = {
    "columns": """
        SELECT c.relname || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
               || CASE WHEN a.attnotnull THEN ' not null' ELSE '' END
               || CASE WHEN a.attidentity <> '' THEN ' identity ' || a.attidentity::text ELSE '' END
               || CASE WHEN co.collname IN ('C') THEN ' collate ' || co.collname ELSE '' END
        FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        LEFT JOIN pg_collation co ON co.oid = a.attcollation
        WHERE c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped AND {ours}""",
    "constraints": """
        SELECT c.relname || ' ' || k.conname || ' ' || pg_get_constraintdef(k.oid)
        FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
        WHERE k.contype <> 'n' AND {ours}""",
    "indexes": """
        SELECT pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
        WHERE {ours}""",
    "storage": """
        SELECT c.relname || ' ' || option FROM pg_class c, unnest(c.reloptions) AS option
        WHERE c.relkind = 'r' AND {ours}""",
}
_OURS = "c.relnamespace = 'public'::regnamespace AND c.relname <> 'alembic_version'"


def schema_text(url: str) -> str:
    """Columns, constraints, indexes and storage parameters of every table, one to a line."""
    lines = []
    with psycopg.connect(url) as connection:
        for heading, query in _QUERIES.items():
            lines.append(f"-- {heading}")
            lines += sorted(line for (line,) in connection.execute(query.format(ours=_OURS).encode()))
    return "\n".join(lines) + "\n"
