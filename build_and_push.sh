#!/usr/bin/env bash
# Builds the images, smoke-tests them and, with --push, pushes them to ECR or another registry.
# What can go wrong, the exit codes and the IAM policy: docs/ecr.md.
set -Eeuo pipefail
shopt -s inherit_errexit

cd "$(dirname "$0")"

what=all accelerator=cpu tag='' prefix=byoc region='' registry='' platform=''
push=no ecr=no build=yes dry_run=no
python=${BYOC_PYTHON:-.venv/bin/python}
readonly USAGE=2 DIRTY=3 BUILD=6 SMOKE=7 MANIFEST=9 PUSH=10

usage() {
    cat <<'END'
build_and_push.sh [training|serving|all] [options]
  --accelerator cpu|cuda   which build of torch (default: cpu)
  --tag T                  default: git revision (12 characters) and accelerator; never `latest`
  --platform P             as docker build takes it, one platform: linux/amd64 or linux/arm64
  --skip-build             take byoc-training:T and byoc-serving:T as the engine has them
  --push                   push what passed its smoke test; without it nothing leaves the machine
  --repository PREFIX      repositories PREFIX-training and PREFIX-serving (default: byoc)
  --region R               ECR's region (default: from the AWS configuration)
  --registry HOST          push to this registry instead, with the login that Docker has for it
  --ecr                    with --registry: ECR's API makes repository and login all the same;
                           HOST then is another name of that ECR registry (a proxy, a stand-in)
  --dry-run                say what would be done; change nothing
Each image pushed gives one line on stdout: NAME DIGEST URI.
END
}

say() { echo "build_and_push: $*" >&2; }

fail() { # fail CODE MESSAGE
    say "$2"
    exit "$1"
}

value() { # value OPTION VALUE: the value, or a usage fault where there is none
    [[ -n ${2:-} && $2 != --* ]] || fail $USAGE "$1 needs a value: see --help"
    printf '%s' "$2"
}

parse() {
    while (($#)); do
        case $1 in
            training | serving | all) what=$1 ;;
            --accelerator)
                accelerator=$(value "$@")
                shift
                ;;
            --tag)
                tag=$(value "$@")
                shift
                ;;
            --repository)
                prefix=$(value "$@")
                shift
                ;;
            --region)
                region=$(value "$@")
                shift
                ;;
            --registry)
                registry=$(value "$@")
                shift
                ;;
            --platform)
                platform=$(value "$@")
                shift
                ;;
            --push) push=yes ;;
            --ecr) ecr=yes ;;
            --skip-build) build=no ;;
            --dry-run) dry_run=yes ;;
            -h | --help) usage && exit 0 ;;
            *) fail $USAGE "unknown argument '$1': see --help" ;;
        esac
        shift
    done
}

check_arguments() {
    [[ $accelerator == cpu || $accelerator == cuda ]] ||
        fail $USAGE "--accelerator is '$accelerator': cpu or cuda"
    [[ $tag != latest ]] || fail $USAGE "the tag 'latest' is refused: a tag names one build for good"
    [[ -z $tag || $tag =~ ^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$ ]] || fail $USAGE "--tag '$tag' is no image tag"
    [[ $prefix =~ ^[a-z0-9]+([._/-][a-z0-9]+)*$ ]] ||
        fail $USAGE "--repository '$prefix' is no repository name: lower case, digits, . _ - /"
    [[ -z $registry || $registry =~ ^[A-Za-z0-9.-]+(:[0-9]+)?$ ]] ||
        fail $USAGE "--registry '$registry' is no HOST[:PORT]"
    [[ $platform != *,* ]] || fail $USAGE "--platform takes one platform: SageMaker refuses an index"
    [[ $ecr == no || -n $registry ]] || fail $USAGE "--ecr goes with --registry"
    [[ -x $python ]] || fail $USAGE "there is no $python: run 'make setup'"
    case $what in
        all) names=(training serving) ;;
        *) names=("$what") ;;
    esac
}

# What is pushed must be what a commit holds; untracked files reach the image as well.
find_revision() {
    local revision changes
    revision=$(git rev-parse --short=12 HEAD 2>/dev/null) || {
        [[ $push == no ]] || fail $DIRTY "this is no git checkout with a commit: a push needs a revision"
        revision=unversioned
    }
    changes=$(git status --porcelain 2>/dev/null || true)
    if [[ -n $changes ]]; then
        [[ $push == no ]] ||
            fail $DIRTY "the work tree has uncommitted changes (first: ${changes%%$'\n'*}): commit before a push"
        revision+=-dirty
    fi
    tag=${tag:-$revision-$accelerator}
}

with_region() { "$python" -m byoc.launch.ecr "$1" ${region:+--region "$region"} "${@:2}"; }

# Account and region, before the long work; ECR says its own host name (partitions differ).
find_registry() {
    [[ $push == yes ]] || return 0
    [[ -z $registry || $ecr == yes ]] || return 0
    local found account host
    found=$(with_region identity)
    read -r account region host <<<"$found"
    registry=${registry:-$host}
    ecr=yes
    say "account $account, region $region, registry $registry"
}

say_plan() {
    local name
    for name in "${names[@]}"; do
        [[ $build == no ]] || echo "would build byoc-$name:$tag (accelerator $accelerator)"
        echo "would smoke-test byoc-$name:$tag"
        [[ $push == yes ]] || continue
        [[ $ecr == no ]] || echo "would create the ECR repository $prefix-$name in $region if it is missing"
        echo "would push $registry/$prefix-$name:$tag and read its manifest back"
    done
}

require_engine() {
    docker version --format '{{.Server.Version}}' >/dev/null 2>&1 ||
        fail $BUILD "no Docker engine answers: start it (docker/engine.sh sets one up)"
}

build_images() {
    if [[ $build == yes ]]; then
        docker/images.sh "$what" --accelerator "$accelerator" --tag "$tag" \
            ${platform:+--platform "$platform"} >&2 || fail $BUILD "the build failed: nothing was pushed"
    fi
    local name
    for name in "${names[@]}"; do
        [[ -n $(image_id "$name") ]] || fail $BUILD "the engine has no image byoc-$name:$tag"
        [[ $push == no ]] || check_image_kind "$name"
    done
}

image_id() { docker image inspect --format '{{.Id}}' "byoc-$1:$tag" 2>/dev/null || true; }

# An engine with the containerd image store pushes what was built as it is, be it OCI: better to
# know before the push. Engines before 28 do not tell the kind; there it is read from the archive.
image_kind() { # image_kind NAME: its manifest's media type; nothing with the classic image store
    [[ $(docker info --format '{{.DriverStatus}}') == *containerd.snapshotter* ]] || return 0
    docker image inspect "byoc-$1:$tag" | "$python" -c \
        'import json, sys; print(json.load(sys.stdin)[0]["Descriptor"]["mediaType"])' 2>/dev/null ||
        docker save "byoc-$1:$tag" | tar -xOf - index.json | "$python" -c \
            'import json, sys; print(json.load(sys.stdin)["manifests"][0]["mediaType"])'
}

check_image_kind() {
    local kind
    kind=$(image_kind "$1")
    [[ -z $kind || $kind == application/vnd.docker.distribution.manifest.v2+json ]] ||
        fail $MANIFEST "byoc-$1:$tag is kept as $kind, which SageMaker hosting refuses: build it with docker/images.sh (no attestations, no OCI); nothing was pushed"
}

smoke_failed() { # smoke_failed NAME CONTAINER WHY
    docker logs "$2" 2>&1 | tail -n 30 | sed 's/^/    /' >&2 || true
    fail $SMOKE "smoke test of byoc-$1:$tag failed: $3; nothing was pushed"
}

# Files go in and out by `docker cp`: no mount to own, and the engine may be elsewhere.
smoke_training() {
    local container
    say "smoke test: training in byoc-training:$tag"
    container=$(docker create --network none --label byoc.smoke="$work" "byoc-training:$tag" train)
    docker cp "$work/ml" "$container:/opt/" >/dev/null || smoke_failed training "$container" 'it has no /opt'
    docker start --attach "$container" >"$work/train.log" 2>&1 ||
        smoke_failed training "$container" "\`train\` exited with $(docker inspect --format '{{.State.ExitCode}}' "$container")"
    docker cp "$container:/opt/ml/model" "$work/ml/" >/dev/null
    "$python" -m byoc.launch.smoke check-model "$work/ml/model" ||
        smoke_failed training "$container" 'its model is not whole'
}

# Serving alone needs a model too: the same program makes it, outside any image.
train_here() {
    say "smoke test: training a model to serve"
    SAGEMAKER_BASE_DIR=$work/ml "$(dirname "$python")/train" >"$work/train.log" 2>&1 || {
        tail -n 5 "$work/train.log" >&2
        fail $SMOKE 'smoke test: no model to serve could be trained; nothing was pushed'
    }
}

smoke_serving() {
    local container address
    say "smoke test: serving from byoc-serving:$tag"
    container=$(docker create --publish 127.0.0.1::8080 --label byoc.smoke="$work" "byoc-serving:$tag" serve)
    docker cp "$work/ml" "$container:/opt/" >/dev/null || smoke_failed serving "$container" 'it has no /opt'
    docker start "$container" >/dev/null || smoke_failed serving "$container" "\`serve\` does not start"
    address=$(docker port "$container" 8080/tcp | head -n 1) ||
        smoke_failed serving "$container" "\`serve\` exited with $(docker inspect --format '{{.State.ExitCode}}' "$container")"
    "$python" -m byoc.launch.smoke probe "$container" "http://$address" ||
        smoke_failed serving "$container" 'it does not serve'
}

smoke_test() {
    "$python" -m byoc.launch.smoke prepare "$work/ml"
    if [[ $what == serving ]]; then train_here; else smoke_training; fi
    if [[ $what != training ]]; then smoke_serving; fi
    say 'smoke test passed'
}

# The login lives in a Docker configuration of its own, which goes when we go. The engine's
# address is taken along, as it may come from the configuration that is left aside.
login() {
    local name state
    for name in "${names[@]}"; do
        state=$(with_region ensure "$prefix-$name")
        say "ECR repository $prefix-$name: $state"
    done
    DOCKER_HOST=${DOCKER_HOST:-$(docker context inspect --format '{{.Endpoints.docker.Host}}')}
    export DOCKER_HOST DOCKER_CONFIG=$work/docker
    unset DOCKER_CONTEXT
    with_region password | docker login --username AWS --password-stdin "$registry" >"$work/login.log" 2>&1 ||
        fail $PUSH "$registry refuses ECR's login: $(tail -n 1 "$work/login.log")"
}

push_image() { # push_image NAME
    local uri=$registry/$prefix-$1:$tag
    docker tag "byoc-$1:$tag" "$uri"
    docker push "$uri" >&2 || fail $PUSH "the push of $uri failed: the lines above say why"
}

# Every tag is looked at before the first push: a fault leaves nothing half done.
push_images() {
    local name id digest
    declare -A there
    [[ $ecr == no ]] || login
    for name in "${names[@]}"; do
        id=$(image_id "$name")
        there[$name]=$("$python" -m byoc.launch.ecr lookup "$registry" "$prefix-$name" "$tag" "$id")
    done
    for name in "${names[@]}"; do
        digest=${there[$name]}
        if [[ -n $digest ]]; then
            say "$registry/$prefix-$name:$tag is there already, with the same content"
        else
            push_image "$name"
            digest=$("$python" -m byoc.launch.ecr verify "$registry" "$prefix-$name" "$tag" "$(image_id "$name")")
        fi
        echo "$name $digest $registry/$prefix-$name:$tag"
    done
}

clean_up() {
    docker ps --all --quiet --filter "label=byoc.smoke=$work" | xargs --no-run-if-empty docker rm --force --volumes >/dev/null 2>&1 || true
    [[ ! -d $work/docker ]] || docker logout "$registry" >/dev/null 2>&1 || true
    rm -rf "$work"
}

parse "$@"
check_arguments
find_revision
find_registry
if [[ $dry_run == yes ]]; then
    say_plan
    exit 0
fi
require_engine
work=$(mktemp -d)
trap clean_up EXIT
trap 'exit 143' TERM
trap 'exit 130' INT
build_images
smoke_test
[[ $push == no ]] || push_images
