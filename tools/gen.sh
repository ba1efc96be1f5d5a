#!/bin/sh
# Lints protos/ and generates protos/gen from it, offline once .venv-gen exists.
#
# The generators are the dependency group `gen` of pyproject.toml, in an environment of their own: the version that
# generates is the lowest that the code runs with, so it must not be the newest one that the server happens to use.
set -eu
cd "$(dirname "$0")/.."

[ -x .venv-gen/bin/buf ] || tools/bootstrap.sh .venv-gen --group gen
PATH="$PWD/.venv-gen/bin:$PATH"
export PATH

buf lint
buf generate

# protoc-gen-mypy_grpc also writes stubs for protos without a service, of modules that do not exist.
for stub in protos/gen/stageline/v1/*_pb2_grpc.pyi; do
    [ -f "${stub%i}" ] || rm "$stub"
done
