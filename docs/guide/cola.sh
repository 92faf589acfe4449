#!/usr/bin/env bash
# The guide's whole path: from a table of text to answers of an endpoint, and everything down again.
#
#   WHERE=process|local|sagemaker docs/guide/cola.sh
#
# All is written to the folder in which it is run. Without DATA (a table, a folder of tables, `cola`)
# it takes the embedded sentences, without MODEL (a folder, a Hub name) a small model from scratch.
# On AWS: BUCKET, ROLE, TRAINING_IMAGE and SERVING_IMAGE, and INSTANCE where it is not ml.g5.xlarge.
# The pages beside this file quote it part by part.
set -Eeuo pipefail

WHERE=${WHERE:-process} DATA=${DATA:-} MODEL=${MODEL:-} SIZE=${SIZE:-9600}
EPOCHS=${EPOCHS:-6} TRIALS=${TRIALS:-4}
NAME=${NAME:-cola-$(date +%H%M%S)}
on_aws() { [[ $WHERE == sagemaker ]]; }
trap 'echo "cola.sh: it ended here; if $NAME is up: byoc down --where $WHERE $NAME" >&2' ERR

# --- prepare.md
if [[ -z $DATA ]]; then
    byoc data embedded raw --size "$SIZE"
fi
byoc data prepare "${DATA:-raw}" acceptability

# --- explore.md
byoc data explore acceptability --model "${MODEL:-scratch}" --output explore.html

# --- upload.md
channels=(--train acceptability/train --validation acceptability/validation)
[[ -z $MODEL ]] || channels+=(--model "$MODEL")
place=(--output out/jobs)
if on_aws; then
    channels=(--output "s3://$BUCKET/out")
    byoc data upload acceptability "s3://$BUCKET/acceptability" | tee sent
    [[ -z $MODEL ]] || byoc data model "$MODEL" "s3://$BUCKET/models" | tee -a sent
    while read -r name uri; do
        channels+=("--$name" "$uri")
    done < sent
    place=(--role "$ROLE" --image "$TRAINING_IMAGE" --instance-type "${INSTANCE:-ml.g5.xlarge}")
fi

# --- train.md
settings=(-H "label-names=unacceptable,acceptable" -H "epochs=$EPOCHS")
lr=3e-5 rates=1e-5:1e-4
if [[ -z $MODEL ]]; then
    settings+=(-H model-name-or-path=scratch -H batch-size=64 -H max-length=32)
    lr=1e-3 rates=5e-4:2e-3
fi
byoc train --where "$WHERE" --job-name "$NAME" "${channels[@]}" "${place[@]}" \
    "${settings[@]}" -H "lr=$lr" --debug | tee train.log
artifact=$(sed -nE 's|^model: (file://)?||p' train.log)

# --- tune.md
trials=("${place[@]}")
on_aws || trials=(--output out/tune)
byoc tune --where "$WHERE" --name "$NAME" "${channels[@]}" "${trials[@]}" "${settings[@]}" \
    --objective val_mcc -H monitor=val_mcc --range "lr=$rates:Logarithmic" \
    --range warmup-ratio=0.0:0.2 --max-jobs "$TRIALS" --max-parallel 2

# --- debug.md
byoc debug report "$(dirname "$artifact")" --output report

# --- deploy.md
place=()
if on_aws; then
    place=(--role "$ROLE" --image "$SERVING_IMAGE" --instance-type "${INSTANCE:-ml.g5.xlarge}")
fi
byoc deploy "$artifact" --where "$WHERE" --name "$NAME" "${place[@]}"

# --- predict.md
byoc predict --where "$WHERE" --endpoint "$NAME" \
    "The keys near the cabinet are heavy." "The keys near the cabinet is heavy."

# --- transform.md
printf '{"inputs": "The %s near the cabinet %s heavy."}\n' \
    keys are key is keys is key are > texts.jsonl
input=texts.jsonl place=(--output out/transform)
if on_aws; then
    byoc data upload texts.jsonl "s3://$BUCKET/texts" | tee sent
    read -r _ input < sent
    place=(--role "$ROLE" --image "$SERVING_IMAGE" --output "s3://$BUCKET/transform")
fi
byoc transform --where "$WHERE" --job-name "$NAME" --model-data "$artifact" \
    --input "$input" --content-type application/jsonlines --join "${place[@]}"

# --- down.md
byoc down --where "$WHERE" --yes "$NAME"
if on_aws; then
    byoc cost
fi
