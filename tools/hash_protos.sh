#!/bin/sh
# Prints one hash of all protos. It lies beside the code that Go and Node generate from them, so that a test can tell whether
# that code is fresh without Go and Node.
set -eu
cd "$(dirname "$0")/../protos"
find stageline -name '*.proto' | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -d' ' -f1
