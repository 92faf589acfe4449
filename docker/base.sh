#!/usr/bin/env bash
# Prints the name of the base image, as its only line on stdout, after making sure it is there.
#
# BASE_IMAGE (default debian:bookworm-slim) is taken from the engine, or pulled; where no
# registry answers, root on Debian bootstraps the same thing from Debian's own packages: the
# official image is made by debootstrap too.
set -Eeuo pipefail

readonly BASE_IMAGE=${BASE_IMAGE:-debian:bookworm-slim}
readonly SUITE=bookworm BOOTSTRAPPED=byoc-base:bookworm PULL_SECONDS=20

say() { echo "base: $*" >&2; }

die() {
    say "$*"
    exit 1
}

have() { docker image inspect "$1" >/dev/null 2>&1; }

pull() {
    say "pulling $BASE_IMAGE"
    # The limit is on the registry's answer, not on a slow download: ask for the manifest first.
    local options=()
    # The engine itself speaks plain HTTP to this machine's registries; the client must be told.
    if [[ $BASE_IMAGE == localhost[:/]* || $BASE_IMAGE == 127.* ]]; then options=(--insecure); fi
    timeout $PULL_SECONDS docker manifest inspect "${options[@]}" "$BASE_IMAGE" >/dev/null 2>&1 &&
        docker pull --quiet "$BASE_IMAGE" >&2
}

apt_mirror() {
    {
        awk '$1 == "URIs:" { print $2; exit }' /etc/apt/sources.list.d/debian.sources
        awk '$1 == "deb" { print $2; exit }' /etc/apt/sources.list
    } 2>/dev/null | head -n 1 || true # either file may be missing
}

need_debootstrap() {
    command -v debootstrap >/dev/null && return
    say "installing Debian's package debootstrap"
    { apt-get -qq update || true
        DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends debootstrap; } >/dev/null 2>&1 ||
        die "cannot install debootstrap: set BASE_IMAGE to an image that this engine has or can pull"
}

bootstrap() {
    local mirror root
    mirror=$(apt_mirror)
    [[ -n $mirror && $(id -u) == 0 ]] ||
        die "$BASE_IMAGE cannot be pulled, and only root on Debian can bootstrap it: set BASE_IMAGE to an image that is here"
    need_debootstrap
    root=$(mktemp -d)
    # shellcheck disable=SC2064 # the folder of now
    trap "rm -rf '$root'" EXIT
    say "no registry answers: bootstrapping $SUITE from Debian's packages (about a minute)"
    debootstrap --variant=minbase --include=ca-certificates "$SUITE" "$root" "$mirror" >"$root.log" 2>&1 ||
        die "debootstrap failed: $(tail -n 1 "$root.log"); log: $root.log"
    rm -rf "$root.log" "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "$root"/var/log/*
    rm -rf "$root"/usr/share/{doc,man,info,locale}/*
    tar -C "$root" --numeric-owner -c . | docker import --change 'CMD ["bash"]' - $BOOTSTRAPPED >/dev/null
    say "made $BOOTSTRAPPED"
}

if have "$BASE_IMAGE"; then
    echo "$BASE_IMAGE"
elif [[ $BASE_IMAGE == debian:bookworm-slim ]] && have $BOOTSTRAPPED; then
    echo $BOOTSTRAPPED
elif pull; then
    echo "$BASE_IMAGE"
elif [[ $BASE_IMAGE == debian:bookworm-slim ]]; then
    bootstrap
    echo $BOOTSTRAPPED
else
    die "BASE_IMAGE=$BASE_IMAGE is not on this engine and cannot be pulled"
fi
