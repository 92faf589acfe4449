#!/usr/bin/env bash
# images.sh [training|serving|all] [--accelerator cpu|cuda] [--tag TAG] [--platform PLATFORM]
#
# Builds byoc-training:TAG and byoc-serving:TAG (TAG: the accelerator, unless given).
# floor builds byoc-floor:TAG, which the tests measure the others' sizes against.
# What the machine's own pip is configured with (indexes, folders of wheels, certificates)
# reaches the build as secrets and a named context; no layer keeps them.
# Environment: BASE_IMAGE; TORCH_VERSION and TORCH_INDEX_URL choose another torch than the lock's;
# COMPILER=true keeps what torch.compile needs in the training image.
set -Eeuo pipefail

cd "$(dirname "$0")/.."
# shellcheck source=docker/pip-settings.sh
source docker/pip-settings.sh

what=all accelerator=cpu tag='' platform=''

say() { echo "images: $*" >&2; }

usage() {
    sed -n '2s/^# //p' "$0" >&2
    exit 2
}

parse() {
    while (($#)); do
        case $1 in
            training | serving | floor | all) what=$1 ;;
            --accelerator) accelerator=${2:-} && shift ;;
            --tag) tag=${2:-} && shift ;;
            --platform) platform=${2:-} && shift ;;
            *) usage ;;
        esac
        shift || usage
    done
    [[ $accelerator == cpu || $accelerator == cuda ]] || usage
    tag=${tag:-$accelerator}
}

# uv's settings for inside the build: what lies in a folder of this machine cannot be reached
# from there, but the wheels' folder comes as a context.
write_settings() {
    local index
    export_pip_settings
    UV_INDEX=$(for index in ${UV_INDEX:-}; do [[ $index == file://* ]] || echo "$index"; done | join_lines ' ')
    if [[ -n ${UV_DEFAULT_INDEX:-} ]]; then printf 'UV_DEFAULT_INDEX=%q\n' "$UV_DEFAULT_INDEX"; fi
    if [[ -n $UV_INDEX ]]; then printf 'UV_INDEX=%q\n' "$UV_INDEX"; fi
}

gather_wheels() { # gather_wheels FOLDER: links to torch's CPU wheel, the one thing no index has
    local folder
    pip_setting find-links | while read -r folder; do
        [[ -d $folder && $accelerator == cpu ]] || continue
        find "$folder" -maxdepth 1 -name 'torch-*.whl' -exec cp --reflink=auto -t "$1" {} +
    done
}

build() { # build NAME
    local name=byoc-$1:$tag started=$SECONDS
    say "building $name on $base"
    DOCKER_BUILDKIT=1 BUILDX_BUILDER="$(docker context show)" docker buildx build . --file "docker/$1.Dockerfile" \
        --tag "$name" --load --provenance=false --network host --progress "${BYOC_PROGRESS:-auto}" \
        ${platform:+--platform "$platform"} \
        --secret "id=settings,src=$work/settings" --secret "id=certificates,src=$certificates" \
        --build-context "wheels=$work/wheels" \
        --build-arg BASE_IMAGE="$base" --build-arg ACCELERATOR="$accelerator" \
        --build-arg TORCH_VERSION="${TORCH_VERSION:-}" --build-arg TORCH_INDEX_URL="${TORCH_INDEX_URL:-}" \
        --build-arg COMPILER="${COMPILER:-}" \
        --build-arg SOURCE="$(git config --get remote.origin.url 2>/dev/null || true)" \
        --build-arg REVISION="$(git rev-parse HEAD 2>/dev/null || true)" \
        --build-arg VERSION="$(sed -n 's/^__version__ = "\(.*\)"/\1/p' code/byoc/__init__.py)" \
        --build-arg CREATED="$(git log -1 --format=%cI 2>/dev/null || true)" || {
        say "building $name failed: the lines above say where"
        exit 1
    }
    say "$name: $(docker image inspect --format '{{.Size}}' "$name" | awk '{ printf "%.2f GB", $1 / 1e9 }') in $((SECONDS - started)) s"
}

parse "$@"
base=$(docker/base.sh)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/wheels"
write_settings >"$work/settings"
gather_wheels "$work/wheels"
certificates=${SSL_CERT_FILE:-/dev/null}
[[ -f $certificates ]] || { certificates=$work/none && : >"$certificates"; }
case $what in
    all) build training && build serving ;;
    *) build "$what" ;;
esac
