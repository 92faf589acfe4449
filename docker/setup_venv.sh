#!/usr/bin/env bash
# setup_venv.sh VENV [PYTHON]: makes a virtual environment with everything locked, and byoc in it.
set -Eeuo pipefail

cd "$(dirname "$0")/.."
readonly VENV=${1:?usage: setup_venv.sh VENV [PYTHON]} PYTHON=${2:-python3} LOCKS=docker/requirements
# shellcheck source=docker/pip-settings.sh
source docker/pip-settings.sh

say() { echo "setup: $*" >&2; }

check_python() {
    "$PYTHON" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && return
    say "the locks are for Python 3.11, and $PYTHON is $("$PYTHON" --version 2>&1): name one with PYTHON=…"
    exit 1
}

install() { VIRTUAL_ENV=$PWD/$VENV "$VENV/bin/uv" pip install --quiet --no-deps "$@"; }

install_torch() {
    [[ -z ${TORCH_INDEX_URL:-} ]] || export UV_INDEX="${UV_INDEX:+$UV_INDEX }$TORCH_INDEX_URL"
    if install --require-hashes -r $LOCKS/torch-cpu.txt 2>/dev/null; then return; fi
    say "no CPU build of torch here (TORCH_INDEX_URL can name an index that has it): taking the CUDA build, about 3 GB"
    install --require-hashes -r $LOCKS/torch-cuda.txt
}

check_python
say "$VENV: virtual environment"
"$PYTHON" -m venv --clear "$VENV"
"$VENV/bin/pip" install --quiet --require-hashes -r $LOCKS/uv.txt 2> >(grep -v '^WARNING: Location' >&2)
export_pip_settings
say "$VENV: $(grep -c == $LOCKS/all.txt) packages"
install --require-hashes -r $LOCKS/all.txt
say "$VENV: torch"
install_torch
install --require-hashes -r $LOCKS/smdebug.txt
"$VENV/bin/python" docker/patch_smdebug.py
# Last: our `train` takes the place of the one that sagemaker-training brings.
install --no-build-isolation --editable .
# Bytecode once, here: where PYTHONDONTWRITEBYTECODE is set none would ever be kept, and each program
# would compile torch and transformers anew, which takes 15 seconds. Some packages hold files that are
# no Python 3: not ours to judge.
say "$VENV: bytecode"
"$VENV/bin/python" -m compileall -q -j 0 -x '/tests?/' "$VENV/lib" code >/dev/null 2>&1 || true
touch "$VENV/.complete"
say "$VENV is ready: $VENV/bin/byoc"
