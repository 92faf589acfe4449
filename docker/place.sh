#!/usr/bin/env bash
# place.sh auto|process|local: makes ready what runs there, and prints process or local.
# auto: in containers where an engine answers or can be set up, else as child processes.
set -Eeuo pipefail

cd "$(dirname "$0")/.."
where=${1:?usage: place.sh auto|process|local}

say() { echo "place: $*" >&2; }

case $where in
    auto)
        if docker/engine.sh >&2; then
            where=local
        else
            where=process
            say "no Docker engine can run here: the same job with --where process"
        fi
        ;;
    local) docker/engine.sh >&2 ;;
    process) ;;
    *)
        say "WHERE is auto, process or local, not '$where'"
        exit 2
        ;;
esac
if [[ $where == local ]]; then docker/images.sh all >&2; else docker/programs.sh java nginx >&2; fi
echo "$where"
