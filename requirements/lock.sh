#!/bin/sh
# Renews the lock files from pyproject.toml: versions and hashes for every platform, no index named.
# uv is needed only here; it comes from the package registry into a folder of its own.
set -eu
cd "$(dirname "$0")/.."
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
python3 -m venv "$tools"
"$tools/bin/pip" install -q uv
compile() {
  "$tools/bin/uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
    --no-emit-index-url --no-emit-find-links --no-header --no-annotate "$@"
}
compile pyproject.toml -o requirements/runtime.lock
# Tests run with the versions that users get.
compile pyproject.toml --group dev --constraint requirements/runtime.lock -o requirements/dev.lock
printf 'hatchling>=1.27\neditables>=0.5\n' | compile - -o requirements/build.lock
