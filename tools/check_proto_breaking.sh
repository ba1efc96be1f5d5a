#!/usr/bin/env bash
# Refuses a change of protos/ that breaks clients of the main branch.
#
# Usage: tools/check_proto_breaking.sh [BASE]; BASE is a commit, by default main or origin/main.
# A base that has no buf.yaml yet has promised nothing: then there is nothing to break.
set -euo pipefail
cd "$(dirname "$0")/.."

base=${1:-}
if [[ -z $base ]]; then
  for candidate in refs/heads/main refs/remotes/origin/main; do
    if git rev-parse --quiet --verify "$candidate" >/dev/null; then
      base=$candidate
      break
    fi
  done
fi
if [[ -z $base ]]; then
  echo "breaking: there is no main branch here to compare with; fetch it (git fetch origin main)" >&2
  exit 1
fi
if ! git cat-file -e "$base:buf.yaml" 2>/dev/null; then
  echo "breaking: $base has no protos yet, nothing to compare with"
  exit 0
fi
against=$(mktemp -d)
trap 'rm -rf "$against"' EXIT
# An archive of the commit also works in a work tree and in a shallow clone, where a clone does not.
git archive "$base" buf.yaml protos | tar -x -C "$against"
.venv/bin/buf breaking --against "$against"
echo "breaking: nothing breaks against $base"
