#!/usr/bin/env bash
# by_hand.sh [script-mode|model-server|flask|mlflow]…: asks the images of build.sh, with docker and
# curl alone, what docs/conformance.md says that `byoc check` found, and prints what each answered.
# It judges nothing: the lines are read beside the sentences of that page.
set -Eeuo pipefail

cd "$(dirname "$0")"
readonly LABEL=byoc-by-hand=$$
work=$(mktemp -d)
chmod 755 "$work"

# shellcheck disable=SC2317,SC2329 # the trap's
clean() {
    docker ps --all --quiet --filter "label=$LABEL" | xargs --no-run-if-empty docker rm --force >/dev/null
    # Containers write as root, whoever runs this.
    docker run --rm --volume "$work:/scratch" --entrypoint sh "byoc-others:$image" -c 'rm -rf /scratch/*' || true
    rm -rf "$work"
}
trap clean EXIT

saw() { printf '%-12s %-4s %s\n' "$image" "$1" "$2"; }

start() { # start DOCKER-OPTION… -- [COMMAND…]: sets $container and $address
    local options=()
    while [[ $1 != -- ]]; do options+=("$1") && shift; done
    shift
    container=$(docker run --detach --label "$LABEL" "${options[@]}" "byoc-others:$image" "$@")
    address=$(docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$container")
}

is_running() { [[ $(docker inspect --format '{{.State.Running}}' "$container") == true ]]; }

ended() { # ended SECONDS: waits so long for the end; "exit CODE", or that it runs on
    local left=$1
    while is_running && ((left-- > 0)); do sleep 1; done
    if is_running; then echo "runs on after $1 s"; else echo "exit $(docker wait "$container")"; fi
}

words() { docker logs "$container" 2>&1 | tail -n "${1:-1}" | tr '\n' ' ' | cut -c1-200; }

ask() { # ask PATH CURL-OPTION…: the status; the body lies in $work/body
    curl --silent --max-time "${PATIENCE:-60}" --output "$work/body" --write-out '%{http_code}' \
        "http://$address:${PORT:-8080}$1" "${@:2}" || true
}

ready() { # waits for the first 200 on /ping
    local left=240
    until [[ $(PATIENCE=2 ask /ping) == 200 ]]; do
        if ! is_running || ((left-- == 0)); then
            saw '' "it is not ready: $(words 3)"
            return 1
        fi
        sleep 0.5
    done
}

body() { tr '\n' ' ' <"$work/body" | cut -c1-160; }

# -- training

tree() { # tree NAME HYPERPARAMETERS MODE: $work/NAME as SageMaker lays out /opt/ml
    local ml=$work/$1
    mkdir -p "$ml"/{input/config,input/data/training,model,output/data,code}
    echo "$2" >"$ml/input/config/hyperparameters.json"
    echo "{\"training\": {\"TrainingInputMode\": \"$3\", \"S3DistributionType\": \"FullyReplicated\", \"RecordWrapperType\": \"None\"}}" \
        >"$ml/input/config/inputdataconfig.json"
    echo '{"current_host": "algo-1", "hosts": ["algo-1"], "network_interface_name": "eth0"}' \
        >"$ml/input/config/resourceconfig.json"
}

train() { # train NAME [COMMAND…]: a job in $work/NAME, to its end
    start --volume "$work/$1:/opt/ml" --hostname algo-1 -- "${@:2}"
}

failure() { head -c 160 "$work/$1/output/failure" | tr '\n' ' '; }

try_script_mode() {
    image=script-mode
    local given='{"sagemaker_program": "\"train.py\"", "sagemaker_submit_directory": "\"/opt/ml/code\""}'
    tree plain "$given" File
    echo 'open("/opt/ml/model/weights", "w").write("trained")' >"$work/plain/code/train.py"
    train plain
    saw T01 "no command: $(ended 60), $(find "$work/plain/model" -type f | wc -l) files in model/"
    train plain train
    saw T01 "the command train: $(ended 60), $(find "$work/plain/model" -type f | wc -l) files in model/"

    tree stopped "$given" File
    cat >"$work/stopped/code/train.py" <<'PY'
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("heard SIGTERM", flush=True), sys.exit(143)))
print("under way", flush=True)
time.sleep(15)
print("went on to its end", flush=True)
PY
    train stopped train
    until docker logs "$container" 2>&1 | grep -q 'under way'; do sleep 0.5; done
    docker kill --signal TERM "$container" >/dev/null
    saw T02 "SIGTERM: $(ended 60); the script: $(docker logs "$container" 2>&1 | grep -E '^(heard|went)')"
    saw T12 'the same'

    tree raising "$given" File
    echo 'raise ValueError("the cause")' >"$work/raising/code/train.py"
    train raising train
    saw T10 "a script that raises: $(ended 60), output/failure: $(failure raising)"
    tree nothing "${given/opt\/ml\/code/opt/ml/input/data/code}" File
    train nothing train
    saw T10 "no channel for the code: $(ended 60), output/failure: $(failure nothing)"
}

# -- serving

served() { # served NAME DOCKER-OPTION…: `serve` with $work/NAME as its model
    start --volume "$work/$1:/opt/ml/model:ro" "${@:2}" -- serve
}

script() { # script NAME TEXT: a model that is its code/inference.py
    mkdir -p "$work/$1/code"
    printf 'import os, time\ndef model_fn(folder):\n    return None\ndef transform_fn(model, body, content_type, accept):\n    %s\n' \
        "$2" >"$work/$1/code/inference.py"
}

zeros() { head -c "$1" /dev/zero | tr '\0' "${2:-0}" >"$work/zeros"; }

cut_by_sigterm() { # cut_by_sigterm TYPE FILE [SECONDS]: SIGTERM with two requests under way, whose
    # bodies, of the file, pause for so many seconds after the first 5 bytes
    local processes=() name
    for name in first second; do
        { head -c 5 "$2" && sleep "${3:-0}" && tail -c +6 "$2"; } |
            curl --silent --max-time 60 --output /dev/null --write-out '%{http_code} (curl %{exitcode})' \
                --header "Content-Type: $1" --request POST --upload-file - \
                "http://$address:8080/invocations" >"$work/$name" &
        processes+=($!)
    done
    sleep 1
    docker kill --signal TERM "$container" >/dev/null
    for name in "${processes[@]}"; do wait "$name" || true; done
    echo "under way at SIGTERM: $(cat "$work/first"), $(cat "$work/second"); $(ended 60)"
}

try_model_server() {
    image=model-server
    script patient 'time.sleep(float(body)); return str(os.getpid())'
    script raises 'raise RuntimeError("a fault of the model")'
    script echoes 'return str(len(body))'
    mkdir -p "$work/none"
    local text=(--header 'Content-Type: text/plain')

    served patient --cpus 1
    ready
    local pids=""
    for _ in 1 2 3 4 5 6 7 8; do
        ask /invocations "${text[@]}" --data 0 >/dev/null
        pids+="$(body) "
    done
    saw H14 "one core, eight requests answered by processes $pids; its log: $(docker logs "$container" 2>&1 | grep -m1 'Number of CPUs')"
    docker rm --force "$container" >/dev/null

    served echoes
    ready
    zeros 6291457
    saw H06 "6,291,457 bytes: $(ask /invocations "${text[@]}" --data-binary "@$work/zeros")"
    docker rm --force "$container" >/dev/null

    served raises
    ready
    saw H07 "a script that raises: $(ask /invocations "${text[@]}" --data 1), tracebacks in the reply: $(grep -c Traceback "$work/body")"
    saw H07 "GET /models: $(ask /models): $(body)"
    docker rm --force "$container" >/dev/null

    start -- serve
    sleep 40
    saw H08 "no model for 40 s: /ping $(ask /ping), $(ended 1)"
    served none
    sleep 40
    saw H08 "an empty folder for 40 s: /ping $(ask /ping), $(ended 1)"

    echo -n 4 >"$work/four"
    served patient --env SAGEMAKER_MODEL_SERVER_WORKERS=2
    ready
    saw H09 "$(cut_by_sigterm text/plain "$work/four")"

    served patient --env SAGEMAKER_MODEL_SERVER_WORKERS=many
    saw H11 "workers: many: $(ended 60): $(words)"
    served patient --read-only --tmpfs /tmp
    saw H13 "a read-only file system: $(ended 60): $(words)"

    start --env SAGEMAKER_MULTI_MODEL=true --volume "$work:/models:ro" -- serve
    ready
    mkdir -p "$work/broken/code" && echo 'raise RuntimeError("broken")' >"$work/broken/code/inference.py"
    PATIENCE=120
    saw M02 "POST /models of a broken one: $(ask /models --json '{"model_name": "broken", "url": "/models/broken"}'): $(body)"
    saw M05 "POST /models of a good one: $(ask /models --json '{"model_name": "a/b", "url": "/models/echoes"}'): $(body)"
    saw M05 "GET /models/a%2Fb: $(ask /models/a%2Fb): $(body)"
    ask /models --json '{"model_name": "plain", "url": "/models/echoes"}' >/dev/null
    saw M05 "a good one asked: $(ask /models/plain/invoke "${text[@]}" --data 1): $(body)"
    saw M05 "its log: $(docker logs "$container" 2>&1 | grep -o 'Please provide a model_fn.*' | head -n 1)"
    PATIENCE=60
}

try_flask() {
    image=flask
    tree flask '{}' File
    cp flask_data/training/* "$work/flask/input/data/training/"
    train flask
    saw T01 "no command: $(ended 60), $(find "$work/flask/model" -type f | wc -l) files in model/"
    tree unknown '{"no-such-thing": "1"}' File
    cp flask_data/training/* "$work/unknown/input/data/training/"
    train unknown train
    saw T04 "an unknown hyperparameter: $(ended 60), $(find "$work/unknown/model" -type f | wc -l) files in model/"
    tree nested '{}' File
    mkdir "$work/nested/input/data/training/part-1"
    cp flask_data/training/* "$work/nested/input/data/training/part-1/"
    train nested train
    saw T05 "a folder in the channel: $(ended 60), output/failure: $(failure nested)"
    tree piped '{}' Pipe
    rmdir "$work/piped/input/data/training"
    mkfifo "$work/piped/input/data/training_0"
    train piped train
    saw T06 "Pipe mode: $(ended 60), output/failure: $(failure piped)"

    cp -r flask_data/model "$work/means"
    mkdir -p "$work/none" "$work/torn"
    echo '{"a": [1' >"$work/torn/means.json"
    local csv=(--header 'Content-Type: text/csv')
    served means --env SAGEMAKER_BIND_TO_PORT=9999
    ready
    saw H02 "told port 9999: 8080 answers $(ask /ping), 9999 $(PORT=9999 ask /ping); labels $(docker inspect --format '{{json .Config.Labels}}' "byoc-others:$image")"
    zeros 6000000 1
    saw H06 "6,000,000 bytes: $(ask /invocations "${csv[@]}" --data-binary "@$work/zeros")"
    saw H07 "JSON: $(ask /invocations --header 'Content-Type: application/json' --data 1): $(body)"
    saw H07 "Accept: image/png: $(ask /invocations "${csv[@]}" --header 'Accept: image/png' --data-binary @flask_data/payload.csv): $(body)"
    saw B02 "a bad line among three: $(ask /invocations "${csv[@]}" --data-binary $'0.1,0.2\nx\n5.1,4.9\n')"
    saw H09 "$(cut_by_sigterm text/csv flask_data/payload.csv 3)"
    served none
    sleep 10
    saw H08 "an empty folder for 10 s: /ping $(ask /ping), $(ended 1)"
    served torn
    sleep 10
    saw H08 "a torn model for 10 s: /ping $(ask /ping), $(ended 1)"
    served means --read-only --tmpfs /tmp
    saw H13 "a read-only file system: $(ended 20): $(docker logs "$container" 2>&1 | grep -m1 emerg | cut -c1-160)"
    served means --env SAGEMAKER_MAX_PAYLOAD_IN_MB=100
    ready
    zeros 20000000 1
    saw B03 "told 100 MB, a body of 20 MB: $(ask /invocations "${csv[@]}" --data-binary "@$work/zeros")"
}

try_mlflow() {
    image=mlflow
    saw I02 "in the image: $(docker run --rm --entrypoint ls "byoc-others:$image" /opt/ml/model | tr '\n' ' ')"
    local json=(--header 'Content-Type: application/json')
    start --env SAGEMAKER_BIND_TO_PORT=9999 -- serve
    ready
    saw H02 "told port 9999: 8080 answers $(ask /ping), 8000 $(PORT=8000 ask /ping), 9999 $(PORT=9999 ask /ping)"
    zeros 6291457
    saw H06 "6,291,457 bytes: $(ask /invocations "${json[@]}" --data-binary "@$work/zeros"): $(body)"
    saw H07 "Accept: image/png: $(ask /invocations "${json[@]}" --header 'Accept: image/png' --data @mlflow/payload.json): $(body)"
    saw H07 "an unknown type: $(ask /invocations --header 'Content-Type: application/x-npy' --data 1): $(body)"
    saw H09 "$(cut_by_sigterm application/json mlflow/payload.json 3)"
    start --read-only --tmpfs /tmp -- serve
    saw H13 "a read-only file system: $(ended 60): $(docker logs "$container" 2>&1 | grep -m1 emerg | cut -c1-160)"
}

for image in "${@:-script-mode model-server flask mlflow}"; do
    # shellcheck disable=SC2086 # the default is a list
    for one in $image; do "try_${one//-/_}"; done
done
