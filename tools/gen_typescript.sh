#!/bin/sh
# Generates worker_sdk/typescript/gen from protos/. Needs Node; the generator's version is pinned in package-lock.json.
set -eu
cd "$(dirname "$0")/.."

[ -x .venv-gen/bin/buf ] || tools/bootstrap.sh .venv-gen --group gen
[ -x worker_sdk/typescript/node_modules/.bin/protoc-gen-es ] || npm --prefix worker_sdk/typescript ci --ignore-scripts
.venv-gen/bin/buf generate --template worker_sdk/typescript/buf.gen.yaml
tools/hash_protos.sh >worker_sdk/typescript/gen/protos.sha256
