#!/usr/bin/env bash
# demo.sh auto|process|local [ARGUMENT…]: what `make demo` runs, once .venv is there.
# auto: in containers where an engine answers or can be set up, else as child processes.
set -Eeuo pipefail

cd "$(dirname "$0")/.."
where=${1:?usage: demo.sh auto|process|local [ARGUMENT…]}
shift

say() { echo "demo: $*" >&2; }

case $where in
    auto)
        if docker/engine.sh; then
            where=local
        else
            where=process
            say "no Docker engine can run here: the same job with --where process"
        fi
        ;;
    local) docker/engine.sh ;;
    process) ;;
    *)
        say "WHERE is auto, process or local, not '$where'"
        exit 2
        ;;
esac
if [[ $where == local ]]; then docker/images.sh all; else docker/programs.sh java nginx; fi
exec .venv/bin/byoc demo --where "$where" "$@"
