"""A protoc plugin for gRPC service stubs in Python.

grpcio-tools holds its gRPC generator inside its own protoc, and offers no plugin that buf could call. This wrapper is
one: it reads a CodeGeneratorRequest from stdin, runs that protoc on the request's descriptors, and answers with the
`*_pb2_grpc.py` files of those protos that have services. It adds the `py.typed` marker of each package.
"""

import sys
import tempfile
from pathlib import Path

from google.protobuf.compiler.plugin_pb2 import CodeGeneratorRequest, CodeGeneratorResponse
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc


def generate(request: CodeGeneratorRequest) -> CodeGeneratorResponse:
    """Answers with the service stubs of the files that the request names."""
    response = CodeGeneratorResponse(supported_features=CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL)
    wanted = set(request.file_to_generate)
    with_services = [file.name for file in request.proto_file if file.name in wanted and file.service]
    with tempfile.TemporaryDirectory() as folder:
        descriptors = Path(folder) / "descriptors.binpb"
        descriptors.write_bytes(FileDescriptorSet(file=request.proto_file).SerializeToString())
        out = Path(folder) / "out"
        out.mkdir()
        if with_services:
            arguments = [f"--descriptor_set_in={descriptors}", f"--grpc_python_out={out}", *with_services]
            if protoc.main(["protoc", *arguments]) != 0:
                response.error = "grpc_tools.protoc failed, see above"
                return response
        for path in sorted(out.rglob("*.py")):
            response.file.add(name=path.relative_to(out).as_posix(), content=path.read_text(encoding="utf-8"))
    for package in sorted({Path(name).parent.as_posix() for name in wanted}):
        response.file.add(name=f"{package}/py.typed", content="")
    return response


if __name__ == "__main__":
    request = CodeGeneratorRequest.FromString(sys.stdin.buffer.read())
    sys.stdout.buffer.write(generate(request).SerializeToString())
