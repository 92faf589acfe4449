#!/usr/bin/env bash
# Runs inside an image's build: install.sh uv|torch|requirements|smdebug|program.
# The build's secrets, where given: `settings`, lines of NAME=value for uv; `certificates`, a bundle.
set -Eeuo pipefail

readonly VENV=/opt/venv PROGRAM=/opt/program INSTALLER=/opt/installer BUILD=/build

die() {
    echo "install.sh: $*" >&2
    exit 1
}

load_settings() {
    if [[ -s /run/secrets/settings ]]; then
        set -a
        # shellcheck source=/dev/null
        source /run/secrets/settings
        set +a
    fi
    if [[ -s /run/secrets/certificates ]]; then
        export SSL_CERT_FILE=/run/secrets/certificates PIP_CERT=/run/secrets/certificates
    fi
    if [[ -d /wheels ]]; then export UV_FIND_LINKS=/wheels; fi
    export UV_LINK_MODE=copy UV_INDEX_STRATEGY=unsafe-best-match UV_PYTHON=$VENV/bin/python
}

install() { $INSTALLER/bin/uv pip install --quiet --no-deps --compile-bytecode "$@"; }

# Without build isolation a source package is built with the setuptools that the lock names.
locked() { install --require-hashes --no-build-isolation -r "$@"; }

install_uv() {
    python3 -m venv $INSTALLER
    python3 -m venv --without-pip $VENV
    if [[ -n ${UV_DEFAULT_INDEX:-} ]]; then export PIP_INDEX_URL=$UV_DEFAULT_INDEX; fi
    if [[ -n ${UV_INDEX:-} ]]; then export PIP_EXTRA_INDEX_URL=$UV_INDEX; fi
    $INSTALLER/bin/pip install --quiet --require-hashes -r $BUILD/uv.txt
    # Our own package lies outside the environment, in a layer of its own: a change in it costs
    # seconds, not a new copy of torch.
    echo $PROGRAM >"$($VENV/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/byoc-program.pth"
}

install_torch() {
    if [[ -n ${TORCH_VERSION:-} || -n ${TORCH_INDEX_URL:-} ]]; then
        local version=${TORCH_VERSION:-$(sed -n 's/^torch==\([^ ]*\).*/\1/p' $BUILD/torch.txt)}
        $INSTALLER/bin/uv pip install --quiet --compile-bytecode \
            ${TORCH_INDEX_URL:+--index "$TORCH_INDEX_URL"} "torch==$version" ||
            die "torch $version is not in ${TORCH_INDEX_URL:-the package index}: check TORCH_VERSION and TORCH_INDEX_URL"
        return
    fi
    locked $BUILD/torch.txt ||
        die "$(head -n 1 $BUILD/torch.txt | cut -d' ' -f1) is in none of this machine's indexes or find-links folders:" \
            "name an index that has it with TORCH_INDEX_URL, or build with --accelerator cuda"
}

install_requirements() {
    grep -A 30 '^setuptools==' $BUILD/requirements.txt | awk 'NR > 1 && !/^ / { exit } { print }' >/tmp/setuptools.txt
    locked /tmp/setuptools.txt
    locked $BUILD/requirements.txt
}

install_smdebug() {
    locked $BUILD/smdebug.txt
    $VENV/bin/python $BUILD/patch_smdebug.py
}

install_program() { install --no-build-isolation --target $PROGRAM $BUILD/src; }

load_settings
"install_${1:?usage: install.sh uv|torch|requirements|smdebug|program}"
