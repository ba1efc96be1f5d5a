#!/usr/bin/env bash
# Generates the protobuf code in a copy of what it is made from, and compares it with protos/gen.
#
# The work tree is left as it is, so the check also runs beside unfinished work.
set -euo pipefail
cd "$(dirname "$0")/.."

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
mkdir -p "$copy/protos" .venv-gen
cp -r tools pyproject.toml buf.yaml buf.gen.yaml "$copy/"
cp -r protos/stageline "$copy/protos/"
ln -s "$PWD/.venv-gen" "$copy/.venv-gen"
(cd "$copy" && tools/gen.sh)
if ! diff --recursive --brief --exclude=__pycache__ protos/gen "$copy/protos/gen"; then
  echo "gen: protos/gen is not what protos/ says; run make gen and commit the result" >&2
  exit 1
fi
echo "gen: protos/gen is fresh"
