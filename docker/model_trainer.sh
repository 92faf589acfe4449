#!/usr/bin/env bash
# model_trainer.sh VENV: makes sure that VENV/model-trainer holds what ModelTrainer of the SageMaker
# SDK needs besides VENV's own packages (3 MB), and prints that folder. For tests only: it stays off
# VENV's own path, so that nothing of ours comes to depend on it.
set -Eeuo pipefail

cd "$(dirname "$0")/.."
readonly VENV=${1:?usage: model_trainer.sh VENV} LOCK=docker/requirements/model-trainer.txt
readonly TARGET=$VENV/model-trainer
# shellcheck source=docker/pip-settings.sh
source docker/pip-settings.sh

if ! cmp -s "$LOCK" "$TARGET/lock.txt"; then
    export_pip_settings
    rm -rf "$TARGET"
    "$VENV/bin/uv" pip install --quiet --python "$VENV/bin/python" --no-deps --require-hashes \
        --target "$TARGET" -r "$LOCK" >&2
    cp "$LOCK" "$TARGET/lock.txt"
fi
realpath "$TARGET"
