#!/usr/bin/env bash
# Installs what worker_sdk/typescript needs, checks its types, builds it into dist/, and tests it.
set -euo pipefail
cd "$(dirname "$0")/../worker_sdk/typescript"

command -v npm >/dev/null || {
  echo "node: npm not found; install Node.js, of the version that package.json names under engines, or later" >&2
  exit 1
}
if [[ ! node_modules/.package-lock.json -nt package-lock.json ]]; then
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
fi
node_modules/.bin/tsc --project tsconfig.json
if [[ ${1:-} != --build-only ]]; then
  node --test --test-reporter=dot dist/test/*.test.js
fi
