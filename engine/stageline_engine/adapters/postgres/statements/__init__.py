"""Every SQL statement of the adapter, by name, in files by noun.

Parameters are PostgreSQL's own ``$1``: nothing is rewritten on the way. Times are parameters; no statement asks for the
present time but the clock's.
"""
