#!/usr/bin/env bash
# sdk_v2.sh VENV: makes sure that VENV/sdk-v2 is an environment with version 2 of the SageMaker SDK,
# and prints its python. For a test only: its pins go with nothing else here.
set -Eeuo pipefail

cd "$(dirname "$0")/.."
readonly VENV=${1:?usage: sdk_v2.sh VENV} LOCK=docker/requirements/sdk-v2.txt
readonly TARGET=$VENV/sdk-v2
# shellcheck source=docker/pip-settings.sh
source docker/pip-settings.sh

if ! cmp -s "$LOCK" "$TARGET/lock.txt"; then
    export_pip_settings
    rm -rf "$TARGET"
    "$VENV/bin/uv" venv --quiet --python "$VENV/bin/python" "$TARGET" >&2
    "$VENV/bin/uv" pip install --quiet --python "$TARGET/bin/python" --require-hashes -r "$LOCK" >&2
    cp "$LOCK" "$TARGET/lock.txt"
fi
echo "$(realpath "$TARGET")/bin/python"
