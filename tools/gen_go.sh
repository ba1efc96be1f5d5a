#!/bin/sh
# Generates worker_sdk/go/gen from protos/. Needs Go; the generators' versions are pinned in worker_sdk/go/buf.gen.yaml.
set -eu
cd "$(dirname "$0")/.."

[ -x .venv-gen/bin/buf ] || tools/bootstrap.sh .venv-gen --group gen
.venv-gen/bin/buf generate --template worker_sdk/go/buf.gen.yaml
tools/hash_protos.sh >worker_sdk/go/gen/protos.sha256
