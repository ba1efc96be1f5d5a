"""What every call of the client needs: the connection, its settings, its end."""

from datetime import timedelta
from types import TracebackType
from typing import Any, Self

import grpc

from stageline.v1 import payload_pb2, run_pb2, run_service_pb2_grpc, workflow_service_pb2_grpc
from stageline_sdk._artifact_calls import ArtifactCalls
from stageline_sdk._calls import Caller
from stageline_sdk._client_usage import UsageCalls
from stageline_sdk._connection import NAMESPACE_DEFAULT, Connection
from stageline_sdk._decode import decode_run
from stageline_sdk._limits import INLINE_PAYLOAD_BYTES_MAX
from stageline_sdk._wire import to_payload
from stageline_sdk.runs import Run
from stageline_sdk.tls import TlsConfig


class ClientBase:
    """Holds the connection of a client."""

    def __init__(
        self,
        address: str | Connection | None = None,
        *,
        namespace: str = NAMESPACE_DEFAULT,
        token: str | None = None,
        tls: TlsConfig | None = None,
        call_timeout: timedelta = timedelta(seconds=30),
        retry_for: timedelta = timedelta(seconds=10),
        outage_max: timedelta = timedelta(minutes=2),
    ) -> None:
        """Make a client; nothing is sent yet.

        Args:
            address: `host:port`, or `https://host:port` for an encrypted connection; or the connection of a local host.
                Default: the environment's STAGELINE_ADDRESS, else 127.0.0.1:7460.
            namespace: The tenant whose workflows and runs are meant.
            token: Who you are, to a server that asks. Default: the environment's STAGELINE_TOKEN, else none.
            tls: How to encrypt the connection. Default: what the environment's STAGELINE_TLS_CA and its like say.
            call_timeout: The longest one try of a call may take. Default 30 seconds.
            retry_for: How long a call is tried again while the server cannot be reached. Zero: never. Default 10 seconds.
            outage_max: How long a watch goes on trying while the server cannot be reached. Default 2 minutes.

        Raises:
            ValueError: The address is malformed, or a certificate cannot be read.
        """
        self._connection = Connection.to(address, token, tls)
        self._namespace = namespace
        self._call = Caller(self._connection, call_timeout=call_timeout, retry_for=retry_for)
        self._outage_max = outage_max
        self._retry_for = retry_for
        self._channel: grpc.aio.Channel | None = None

    @property
    def address(self) -> str:
        """Host and port of the server."""
        return self._connection.target

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, frames: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connection, and the calls that are under way. Closing twice does nothing."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    @property
    def _runs(self) -> "run_service_pb2_grpc.RunServiceAsyncStub":
        return run_service_pb2_grpc.RunServiceStub(self._open())

    @property
    def _workflows(self) -> "workflow_service_pb2_grpc.WorkflowServiceAsyncStub":
        return workflow_service_pb2_grpc.WorkflowServiceStub(self._open())

    @property
    def _artifacts(self) -> ArtifactCalls:
        return ArtifactCalls(self._open(), self._connection, self._namespace, retry_for=self._retry_for)

    @property
    def usage(self) -> UsageCalls:
        """The ledger of AI calls: `client.usage.aggregate(by=["model"])`."""
        return UsageCalls(self._open, self._call, self._namespace)

    async def _payload(self, value: Any) -> payload_pb2.Payload:
        """Return a value as a payload; one that is too large for a message is stored apart first."""
        payload = to_payload(value)
        await self._artifacts.offload(payload, INLINE_PAYLOAD_BYTES_MAX)
        return payload

    async def _run(self, message: run_pb2.Run) -> Run:
        """Return a run with all its values, also those that are stored apart."""
        outputs = [stage.output for stage in message.stages if stage.HasField("output")]
        await self._artifacts.resolve(message.input, message.config, message.output, *outputs)
        return decode_run(message)

    def _open(self) -> grpc.aio.Channel:
        if self._channel is None:
            self._channel = self._connection.open()
        return self._channel
