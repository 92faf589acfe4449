#!/usr/bin/env bash
# build.sh [script-mode|model-server|flask|mlflow]…: builds byoc-others:NAME for each, or for all.
set -Eeuo pipefail

cd "$(dirname "$0")"
# shellcheck source=docker/pip-settings.sh
source ../../docker/pip-settings.sh

say() { echo "others: $*" >&2; }

# What lies in a folder of this machine cannot be reached from inside the build.
write_settings() {
    local index
    export_pip_settings
    UV_INDEX=$(for index in ${UV_INDEX:-}; do [[ $index == file://* ]] || echo "$index"; done | join_lines ' ')
    if [[ -n ${UV_DEFAULT_INDEX:-} ]]; then printf 'UV_DEFAULT_INDEX=%q\n' "$UV_DEFAULT_INDEX"; fi
    if [[ -n $UV_INDEX ]]; then printf 'UV_INDEX=%q\n' "$UV_INDEX"; fi
}

locked() { # locked LOCK PACKAGE: its version in our own images
    sed -n "s/^$2==\([^ ]*\).*/\1/p" "../../docker/requirements/$1.txt"
}

build() { # build NAME
    say "building byoc-others:$1"
    BUILDX_BUILDER="$(docker context show)" docker buildx build . --target "$1" \
        --tag "byoc-others:$1" --load --provenance=false --network host --progress "${BYOC_PROGRESS:-auto}" \
        --secret "id=settings,src=$work/settings" --secret "id=certificates,src=$certificates" \
        --build-arg BASE_IMAGE="$base" --build-arg TRAINING_TOOLKIT="$(locked training sagemaker-training)" \
        --build-arg INFERENCE_TOOLKIT="$(locked serving sagemaker-inference)" \
        --build-arg MODEL_SERVER="$(locked serving multi-model-server)"
}

base=$(../../docker/base.sh)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
write_settings >"$work/settings"
certificates=${SSL_CERT_FILE:-/dev/null}
[[ -f $certificates ]] || { certificates=$work/none && : >"$certificates"; }
for name in "${@:-script-mode model-server flask mlflow}"; do
    # shellcheck disable=SC2086 # the default is a list
    for one in $name; do build "$one"; done
done
