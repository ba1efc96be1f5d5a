"""The schema's history: numbered, released revisions are never edited; first expand, then contract."""

from stageline_migrations.runner import current, downgrade, newest, upgrade

__all__ = ["current", "downgrade", "newest", "upgrade"]
