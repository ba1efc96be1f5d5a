#!/usr/bin/env bash
# Checks and tests worker_sdk/go, and builds its workers into build/workers.
set -euo pipefail
cd "$(dirname "$0")/.."
workers=$PWD/build/workers

command -v go >/dev/null || {
  echo "go: not found; install Go, of the version that worker_sdk/go/go.mod names or later" >&2
  exit 1
}
mkdir -p "$workers"
cd worker_sdk/go
unformatted=$(gofmt -l .)
if [[ -n $unformatted ]]; then
  echo "go: not formatted (gofmt -w): $unformatted" >&2
  exit 1
fi
go build -o "$workers/conformance-go" ./internal/conformanceworker
go build -o "$workers/polyglot-go" ./examples/polyglot
if [[ ${1:-} != --build-only ]]; then
  go vet ./...
  go test .
fi
