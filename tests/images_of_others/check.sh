#!/usr/bin/env bash
# check.sh FOLDER [NAME]…: `byoc check` on each image of build.sh's, with what it needs; FOLDER/NAME.json
# holds the rows, and table.py makes docs/conformance.md's table of them.
set -Eeuo pipefail

folder=$(realpath "$1")
names=("${@:2}")
cd "$(dirname "$0")"
byoc=../../.venv/bin/byoc

check() { # check NAME OPTION…: exit 1 is a finding, anything else a fault
    local code=0
    "$byoc" check "byoc-others:$1" "${@:2}" --json "$folder/$1.json" || code=$?
    ((code < 2)) || exit "$code"
}

((${#names[@]})) || names=(script-mode model-server flask mlflow)
for name in "${names[@]}"; do
    case $name in
        script-mode) check "$name" --training ;;
        model-server) check "$name" --serving ;;
        flask)
            check "$name" --both --channel training=flask_data/training --model flask_data/model \
                --payload flask_data/payload.csv --content-type text/csv
            ;;
        mlflow) check "$name" --serving --payload mlflow/payload.json ;;
        *) echo "others: there is no $name" >&2 && exit 2 ;;
    esac
done
