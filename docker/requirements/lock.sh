#!/usr/bin/env bash
# Writes the lock files beside this script from the versions chosen in pyproject.toml.
#
#   all.txt       everything: what .venv installs; resolved first, so that the others are subsets
#   training.txt  the training image           serving.txt     the serving image
#   uv.txt        the installer itself
#   smdebug.txt   smdebug without its own pins, which nothing else here could live with
#   model-trainer.txt  what ModelTrainer of the SDK needs besides .venv, for a test (docker/model_trainer.sh)
#   sdk-v2.txt    version 2 of the SageMaker SDK, an environment of its own, for a test (docker/sdk_v2.sh)
#   torch-cpu.txt torch's CPU build            torch-cuda.txt  its CUDA build with NVIDIA's wheels
#
# torch stands apart because one version comes as two builds with different needs.
# uv does not read pip's configuration, so pip's find-links folders are handed over here; a
# CPU wheel of torch must be among them, or in TORCH_INDEX_URL. No address ends up in a lock.
set -Eeuo pipefail

cd "$(dirname "$0")/../.."
readonly OUT=docker/requirements
UV=${UV:-uv}
# shellcheck source=docker/pip-settings.sh
source docker/pip-settings.sh

compile() { # compile OUTPUT ARGUMENT...
    local output=$1
    shift
    "$UV" pip compile --quiet --upgrade --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
        --generate-hashes --no-annotate --no-header --output-file "$OUT/$output" "$@"
    echo "lock: $OUT/$output: $(grep -c '==' "$OUT/$output") packages"
}

hash_local_wheel() { # uv gives no hash for a wheel that lies in a folder: take it from the file
    local wheel
    grep -q -- --hash "$OUT/$1" && return
    wheel=$(mktemp -d)
    python3 -m pip download --quiet --no-deps --dest "$wheel" "$(cat "$OUT/$1")"
    sed -i "s|\$| \\\\\n    --hash=sha256:$(sha256sum "$wheel"/*.whl | cut -d' ' -f1)|" "$OUT/$1"
    rm -r "$wheel"
}

torch=$(sed -n 's/^ *"\(torch==[^"]*\)".*/\1/p' pyproject.toml | sort -u)
mapfile -t cpu < <(pip_setting find-links | sed 's/^/--find-links=/')
[[ -z ${TORCH_INDEX_URL:-} ]] || cpu+=("--extra-index-url=$TORCH_INDEX_URL")

compile all.txt pyproject.toml --all-extras "${cpu[@]}" --no-emit-package torch
compile training.txt pyproject.toml --extra train "${cpu[@]}" -c $OUT/all.txt --no-emit-package torch
compile serving.txt pyproject.toml --extra serve "${cpu[@]}" -c $OUT/all.txt --no-emit-package torch
compile torch-cpu.txt - "${cpu[@]}" --no-deps <<<"$torch"
hash_local_wheel torch-cpu.txt
compile uv.txt - --no-deps <<<'uv==0.13.9'
compile smdebug.txt - --no-deps <<<'smdebug==1.0.34'
# Without its needs: near 1 GB of mlflow, which ModelTrainer does not import; two packages it does.
compile model-trainer.txt - --no-deps <<<$'sagemaker-train==1.27.0\ngraphene<4\ngraphql-relay'
compile sdk-v2.txt - <<<'sagemaker[local]==2.257.7'

# Of the CUDA build's needs only what no other lock names: torch itself, triton, NVIDIA's wheels.
shared=()
while read -r name; do shared+=(--no-emit-package "$name"); done < <(sed -n 's/^\([a-z0-9._-]*\)==.*/\1/p' $OUT/all.txt)
compile torch-cuda.txt - -c $OUT/all.txt "${shared[@]}" <<<"$torch"
