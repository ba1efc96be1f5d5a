"""The SDK's connection to the services of this process."""

from dataclasses import dataclass, field

from stageline_local._channel import InProcessChannel, InProcessServices
from stageline_sdk._connection import Connection


@dataclass(frozen=True, slots=True)
class InProcessConnection(Connection):
    """A connection that needs no network.

    Attributes:
        services: What is called.
    """

    services: InProcessServices = field(kw_only=True)

    def open(self) -> InProcessChannel:
        """Return a new channel."""
        return InProcessChannel(self.services)
