"""A worker that does what a worker must not: the conformance suite is to find it. The argument says what it does wrong.

It knows no stages: every offer is answered with the output null.
"""

import os
import sys
from collections.abc import Iterator
from queue import SimpleQueue

import grpc

from stageline.v1 import (
    session_pb2,
    worker_pb2,
    worker_service_pb2_grpc,
    workflow_service_pb2,
    workflow_service_pb2_grpc,
)

FAULT = sys.argv[1]
SLOTS = 4


def item_of(offer_token: bytes) -> worker_pb2.WorkerItem:
    item = worker_pb2.WorkerItem()
    item.report.lease_token = offer_token
    item.report.completed.output.json = b"null"
    return item


def main() -> None:
    channel = grpc.insecure_channel(os.environ["STAGELINE_ADDRESS"])
    request = workflow_service_pb2.RegisterWorkflowRequest()
    request.definition.name = "conformance"
    workflow_service_pb2_grpc.WorkflowServiceStub(channel).RegisterWorkflow(request)
    outgoing: SimpleQueue[worker_pb2.WorkerFrame] = SimpleQueue()

    def frames() -> Iterator[worker_pb2.WorkerFrame]:
        while True:
            yield outgoing.get()

    hello = session_pb2.Hello(protocol_version=1, slots=SLOTS)
    first = worker_pb2.WorkerFrame(sequence=1, items=[worker_pb2.WorkerItem(hello=hello)])
    first.items.add().credits.free_slots = SLOTS
    outgoing.put(first)
    sent = 1
    for frame in worker_service_pb2_grpc.WorkerServiceStub(channel).Work(frames()):
        for token in [item.offer.lease_token for item in frame.items if item.HasField("offer")]:
            sent += 2 if FAULT == "numbers" else 1
            reply = worker_pb2.WorkerFrame(sequence=sent, acknowledged_sequence=frame.sequence)
            reply.items.extend([item_of(token)] * (2 if FAULT == "twice" else 1))
            outgoing.put(reply)


main()
