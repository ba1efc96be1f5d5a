"""Every method of every service of the protos, found by their descriptors: a new one cannot be forgotten."""

import importlib
import pkgutil
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

import stageline.v1
from stageline.v1 import session_pb2, worker_pb2


@dataclass(frozen=True)
class WireMethod:
    """One method, by its descriptor, and how to call it without a stub."""

    descriptor: Any

    @property
    def path(self) -> str:
        """As it is called: `/stageline.v1.RunService/GetRun`."""
        return f"/{self.descriptor.containing_service.full_name}/{self.descriptor.name}"

    @property
    def request_type(self) -> type[Message]:
        """Its request's class."""
        kind: type[Message] = GetMessageClass(self.descriptor.input_type)
        return kind

    def request(self, namespace: str) -> Message:
        """Return a request that names a namespace, wherever this method's request does; else an empty one."""
        if self.request_type is worker_pb2.WorkerFrame:
            hello = session_pb2.Hello(namespace=namespace, protocol_version=1, slots=1)
            return worker_pb2.WorkerFrame(sequence=1, items=[worker_pb2.WorkerItem(hello=hello)])
        request = self.request_type()
        holder: Any = request if _has_namespace(request.DESCRIPTOR) else None
        for field in request.DESCRIPTOR.fields:
            if holder is None and field.message_type is not None and _has_namespace(field.message_type):
                holder = getattr(request, field.name)
        if holder is not None:
            holder.namespace = namespace
        return request

    async def call(self, channel: Any, request: Message, token: str = "") -> None:
        """Make a call with one request, and read one answer.

        Raises:
            grpc.aio.AioRpcError: It was refused.
        """
        metadata = (("authorization", f"Bearer {token}"),) if token else ()
        coding: Any = {
            "request_serializer": self.request_type.SerializeToString,
            "response_deserializer": GetMessageClass(self.descriptor.output_type).FromString,
        }
        streams = self.descriptor.client_streaming, self.descriptor.server_streaming
        if streams == (False, False):
            await channel.unary_unary(self.path, **coding)(request, metadata=metadata, timeout=20)
        elif streams == (False, True):
            call = channel.unary_stream(self.path, **coding)(request, metadata=metadata, timeout=20)
            await call.read()
            call.cancel()  # the answers of some have no end
        elif streams == (True, False):
            await channel.stream_unary(self.path, **coding)(iter([request]), metadata=metadata, timeout=20)
        else:
            await _last(
                channel.stream_stream(self.path, **coding)(iter([request]), metadata=metadata, timeout=20)
            )


async def _last(call: Any) -> None:
    """Read until the stream ends or refuses; what a session says last is not the end of it."""
    async for _ in call:
        if call.done():
            break
    code = await call.code()
    if code is not grpc.StatusCode.OK:
        raise grpc.aio.AioRpcError(
            code, await call.initial_metadata(), await call.trailing_metadata(), await call.details()
        )


def _has_namespace(kind: Any) -> bool:
    return any(field.name == "namespace" for field in kind.fields)


def _methods() -> list[WireMethod]:
    found = []
    for module in sorted(each.name for each in pkgutil.iter_modules(stageline.v1.__path__)):
        if module.endswith("_service_pb2"):
            loaded = importlib.import_module(f"stageline.v1.{module}")
            for service in loaded.DESCRIPTOR.services_by_name.values():
                found += [WireMethod(method) for method in service.methods]
    return found


METHODS = _methods()
