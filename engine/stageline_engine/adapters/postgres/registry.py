"""Stored workflow definitions, and those that this process has seen."""

import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from psycopg.types.numeric import Int4, Int8

from stageline_engine.adapters.postgres import definitions
from stageline_engine.adapters.postgres.arrays import array
from stageline_engine.adapters.postgres.database import Connection, PostgresDatabase, fetch
from stageline_engine.adapters.postgres.statements import registry as statements
from stageline_engine.errors import InvariantError
from stageline_engine.model.definition import RegisteredWorkflow, WorkflowDefinition

_log = logging.getLogger(__name__)

NEWEST_KNOWN_FOR = timedelta(milliseconds=100)
"""How long the number of a workflow's newest version is taken from memory: long enough for a batch of creations to ask
once, too short for a person to see that another server has registered a newer one."""

VERSIONS_KEPT_MAX = 1000
"""Versions kept in memory, the last used ones; a server rarely runs more workflows than that at a time."""


class PostgresRegistry:
    """The WorkflowRegistry port. Versions never change, so each is read once per process."""

    def __init__(self, database: PostgresDatabase) -> None:
        """Takes the connections."""
        self._database = database
        self._versions: OrderedDict[tuple[str, str, int], RegisteredWorkflow] = OrderedDict()
        self._newest: dict[tuple[str, str], tuple[int, float]] = {}

    async def register(
        self, namespace: str, definition: WorkflowDefinition, digest: str, now: datetime
    ) -> RegisteredWorkflow:
        """Stores a definition, or finds it by its digest.

        Raises:
            InvariantError: It is stored, but what is stored cannot be read.
        """
        name = definition.name
        async with self._database.transaction() as connection:
            found = await fetch(connection, statements.FIND_BY_DIGEST, (namespace, name, digest))
            if not found:
                await connection.execute(statements.LOCK_WORKFLOW, (Int8(_lock_number(namespace, name)),))
                found = await fetch(connection, statements.FIND_BY_DIGEST, (namespace, name, digest))
            if not found:
                await self._store(connection, namespace, definition, digest, now)
                found = await fetch(connection, statements.FIND_BY_DIGEST, (namespace, name, digest))
        self._newest.pop((namespace, name), None)
        kept = self._keep(namespace, found[0])
        if kept is None:
            raise InvariantError(f"the stored definition of {name} cannot be read")
        return kept

    @staticmethod
    async def _store(
        connection: Connection, namespace: str, definition: WorkflowDefinition, digest: str, now: datetime
    ) -> None:
        text = definitions.encode(definition)
        given = (namespace, definition.name, digest, text, now)
        ((version,),) = await fetch(connection, statements.INSERT_VERSION, given)
        stage_ids = array("text", (stage.id for stage in definition.stages))
        await connection.execute(
            statements.INSERT_ROUTES, (namespace, definition.name, Int4(version), stage_ids)
        )

    async def get(self, namespace: str, name: str, version: int = 0) -> RegisteredWorkflow | None:
        """Returns a version, or None where there is none, or what is stored of it cannot be read.

        The newest one (0) is the newest of at most ``NEWEST_KNOWN_FOR`` ago, if another server has stored a newer one.
        """
        if "\0" in namespace or "\0" in name:
            return None  # cannot be stored, so was not
        number = version or await self._newest_version(namespace, name)
        key = (namespace, name, number)
        if number > 0 and key not in self._versions:
            for values in await self._database.run(statements.GET_VERSION, (namespace, name, Int4(number))):
                self._keep(namespace, values)
        if key not in self._versions:
            return None
        self._versions.move_to_end(key)
        return self._versions[key]

    async def _newest_version(self, namespace: str, name: str) -> int:
        version, read_at = self._newest.get((namespace, name), (0, 0.0))
        if version and time.monotonic() - read_at < NEWEST_KNOWN_FOR.total_seconds():
            return version
        asked_at = time.monotonic()
        ((newest,),) = await self._database.run(statements.NEWEST_VERSION, (namespace, name))
        if newest is not None:
            self._newest[namespace, name] = (newest, asked_at)
        return newest or 0

    async def list(self, namespace: str, *, after_name: str = "", limit: int) -> Sequence[RegisteredWorkflow]:
        """Returns the newest version of each workflow, by name."""
        listed: list[RegisteredWorkflow] = []
        while True:
            asked = limit - len(listed)
            found = await self._database.run(statements.LIST_NEWEST, (namespace, after_name, Int4(asked)))
            listed += filter(None, (_registered(namespace, values) for values in found))
            if len(found) < asked or len(listed) == limit:
                return listed
            after_name = found[-1][
                0
            ]  # a full page with some that cannot be read: it must not look like the last one

    def _keep(self, namespace: str, values: Sequence[Any]) -> RegisteredWorkflow | None:
        """Keeps a version in memory, and lets go of the one that was used longest ago where there are too many."""
        registered = _registered(namespace, values)
        if registered is None:
            return None
        self._versions[namespace, registered.definition.name, registered.version] = registered
        while len(self._versions) > VERSIONS_KEPT_MAX:
            self._versions.popitem(last=False)
        return registered


def _registered(namespace: str, values: Sequence[Any]) -> RegisteredWorkflow | None:
    """One version; None where what is stored is no definition: that must not hold up whoever reads others with it."""
    name, version, digest, text, created_at, route_ids = values
    try:
        definition = definitions.decode(text)
    except (ValueError, LookupError, TypeError, AttributeError):
        _log.exception("the stored definition of %s/%s version %s cannot be read", namespace, name, version)
        return None
    return RegisteredWorkflow(
        namespace=namespace,
        version=version,
        digest=digest,
        definition=definition,
        created_at=created_at,
        route_ids=tuple(route_ids),
    )


def _lock_number(namespace: str, name: str) -> int:
    digest = hashlib.blake2b(f"workflow\0{namespace}\0{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)
