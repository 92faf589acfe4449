#!/usr/bin/env python3
"""Stands in for `train` where a test is about the tuner: keeps the contract, learns nothing.

The objective, val_mcc, is -(lr - 0.3)^2, reached in the last epoch from below. A batch-size of 13
fails, 14 prints no metric, 15 prints nan. An epoch takes $STANDIN_SECONDS. What it does is a line
in $STANDIN_JOURNAL.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

base = Path(os.environ["SAGEMAKER_BASE_DIR"])
config = base / "input" / "config"
given = json.loads((config / "hyperparameters.json").read_text())
given_place = config / "checkpointconfig.json"
checkpoints = base / "checkpoints"
if given_place.exists():
    checkpoints = Path(json.loads(given_place.read_text())["LocalPath"])
epochs, lr, kind = int(given["epochs"]), float(given["lr"]), given.get("batch-size", "16")


def journal(*words: object) -> None:
    with Path(os.environ["STANDIN_JOURNAL"]).open("a") as stream:
        stream.write(" ".join(map(str, (os.environ["TRAINING_JOB_NAME"], *words))) + "\n")


def stop(*_: object) -> None:
    (base / "model" / "weights").write_text("the best so far")
    journal("stopped")
    sys.exit(143)


signal.signal(signal.SIGTERM, stop)
checkpoints.mkdir(parents=True, exist_ok=True)
done = checkpoints / "epoch"
first = int(done.read_text()) + 1 if done.exists() else 1
journal("began", first, os.environ.get("OMP_NUM_THREADS"))
if kind == "13":
    (base / "output" / "failure").write_text("the disk is full: take a larger volume\n\nmore")
    sys.exit(1)
for epoch in range(first, epochs + 1):
    time.sleep(float(os.environ.get("STANDIN_SECONDS", "0.05")))
    value = float("nan") if kind == "15" else -((lr - 0.3) ** 2) - (epochs - epoch) / 10
    if kind != "14":
        print(f"epoch={epoch} val_loss=1 val_mcc={value}", flush=True)
    done.write_text(str(epoch))
    journal("epoch", epoch)
(base / "model" / "weights").write_text(str(lr))
journal("ended")
