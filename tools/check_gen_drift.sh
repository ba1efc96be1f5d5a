#!/usr/bin/env bash
# Generates the protobuf code into a temporary folder and compares it with protos/gen.
#
# The work tree is left as it is, so the check also runs beside unfinished work.
set -euo pipefail
cd "$(dirname "$0")/.."

fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
tools/gen.sh "$fresh"
if ! diff --recursive --brief --exclude=__pycache__ protos/gen "$fresh/protos/gen"; then
  echo "gen: protos/gen is not what protos/ says; run make gen and commit the result" >&2
  exit 1
fi
echo "gen: protos/gen is fresh"
