"""``lease.extend``: one write, no run is locked."""

from stageline_engine.commands import ExtendLeases, LeasesExtended
from stageline_engine.errors import InvariantError
from stageline_engine.model.session import NO_SERVER
from stageline_engine.ports import Clock, SessionStore


async def extend_leases(command: ExtendLeases, sessions: SessionStore | None, clock: Clock) -> LeasesExtended:
    """Renews the leases of sessions without a stream.

    Raises:
        InvariantError: The kernel was given no sessions.
    """
    if sessions is None:
        raise InvariantError("this kernel has no session store: give it one to extend leases")
    expires_at = clock.now() + command.lasts
    extended = await sessions.extend(command.namespace, command.leases, NO_SERVER, expires_at)
    return LeasesExtended(extended)
