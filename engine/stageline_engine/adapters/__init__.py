"""Adapters of the ports: in memory, and on PostgreSQL."""
