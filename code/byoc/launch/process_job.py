"""`python -m byoc.launch.process_job FOLDER`: supervises one training job in a child process.

Lays out the tree, runs `train`, passes SIGTERM on, ends a job that has run too long, packs the
artifacts as SageMaker does, and writes the outcome last.
"""

from __future__ import annotations

import ctypes
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from byoc import archive
from byoc.contract import BASE_DIR_VARIABLE
from byoc.launch.errors import LaunchError
from byoc.launch.outcome import outcome
from byoc.launch.process import TREE
from byoc.launch.state import Record, child_environment, last_line
from byoc.launch.uris import to_path, to_uri

KILL_AFTER = 120.0
"""Seconds between SIGTERM and SIGKILL, as SageMaker gives them."""

_PR_SET_PDEATHSIG = 1


class _Job:
    def __init__(self, record: Record) -> None:
        self.record = record
        self.request = record.read("request.json")
        self.tree = record.folder / TREE
        self.child: subprocess.Popen[bytes] | None = None
        self.asked_to_stop = False
        self.kill_at: float | None = None
        self.out_of_time = False

    def stop(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        self.asked_to_stop = True
        self.record.update(TrainingJobStatus="Stopping", SecondaryStatus="Stopping")
        self._terminate()

    def _terminate(self) -> None:
        if self.child is not None and self.kill_at is None:
            self.kill_at = time.monotonic() + KILL_AFTER
            self.child.terminate()

    def _terminate_if_asked(self) -> None:
        if self.asked_to_stop:
            self._terminate()

    def run(self) -> dict[str, Any]:
        lay_out(self.tree, self.request)
        self.record.update(SecondaryStatus="Training", TrainingStartTime=time.time())
        algorithm = self.request["AlgorithmSpecification"]
        command = [
            *(algorithm.get("ContainerEntrypoint") or ["train"]),
            *(algorithm.get("ContainerArguments") or []),
        ]
        environment = child_environment(
            **self.request.get("Environment", {}),
            **{BASE_DIR_VARIABLE: str(self.tree)},
            TRAINING_JOB_NAME=self.request["TrainingJobName"],
        )
        self.child = subprocess.Popen(
            command,
            env=environment,
            cwd=self.tree,
            stdin=subprocess.DEVNULL,
            preexec_fn=_die_with_parent,  # safe: this process has one thread
        )
        self._terminate_if_asked()  # a stop may have come before there was a child
        code = self._wait(self.child)
        return self._artifacts(
            outcome(
                code,
                _read(self.tree / "output" / "failure"),
                asked_to_stop=self.asked_to_stop,
                out_of_time=self.out_of_time,
                last_words=last_line(self.record.log, "train:"),
            )
        )

    def _wait(self, child: subprocess.Popen[bytes]) -> int:
        limit = self.request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds")
        end = time.monotonic() + limit if limit else None
        while True:
            try:
                return child.wait(timeout=0.5)
            except subprocess.TimeoutExpired:
                now = time.monotonic()
                if end is not None and now > end and not self.asked_to_stop:
                    self.out_of_time = True
                    self._terminate()
                if self.kill_at is not None and now > self.kill_at:
                    child.kill()

    def _artifacts(self, ended: dict[str, Any]) -> dict[str, Any]:
        """Packs what the job left; a model only where the job has not failed."""
        root = to_path(self.request["OutputDataConfig"]["S3OutputPath"], "S3OutputPath")
        target = root / self.request["TrainingJobName"] / "output"
        self.record.update(SecondaryStatus="Uploading")
        if any(path.is_file() for path in (self.tree / "output").rglob("*")):
            archive.pack(self.tree / "output", target / "output.tar.gz")
        model = self.tree / "model"
        if ended["TrainingJobStatus"] != "Failed" and any(model.iterdir()):
            archive.pack(model, target / "model.tar.gz")
            uri = to_uri(target / "model.tar.gz")
            ended["ModelArtifacts"] = {"S3ModelArtifacts": uri}
            shutil.rmtree(model)  # weights are large, and the archive has them
        return ended


def lay_out(tree: Path, request: dict[str, Any]) -> None:
    """Writes /opt/ml as SageMaker does before a job starts; channels are symbolic links."""
    config = tree / "input" / "config"
    for folder in (config, tree / "input" / "data", tree / "model", tree / "output" / "data"):
        folder.mkdir(parents=True)
    channels = {}
    for channel in request.get("InputDataConfig", []):
        name = channel["ChannelName"]
        channels[name] = {
            "TrainingInputMode": channel.get("InputMode", "File"),
            "S3DistributionType": "FullyReplicated",
            "RecordWrapperType": "None",
        }
        if "ContentType" in channel:
            channels[name]["ContentType"] = channel["ContentType"]
        uri = channel["DataSource"]["S3DataSource"]["S3Uri"]
        _link(to_path(uri, f"channel {name}").resolve(), tree / "input" / "data" / name)
    resources = {
        "current_host": "localhost",  # a name that resolves here, as algo-1 does on SageMaker
        "current_instance_type": request["ResourceConfig"]["InstanceType"],
        "hosts": ["localhost"],
        "network_interface_name": "lo",
    }
    files = {
        "hyperparameters.json": request.get("HyperParameters", {}),
        "inputdataconfig.json": channels,
        "resourceconfig.json": resources,
    }
    checkpoints = request.get("CheckpointConfig")
    if checkpoints:
        # The folder itself is where the job reads and writes: in step without any copying.
        folder = to_path(checkpoints["S3Uri"], "CheckpointConfig.S3Uri")
        folder.mkdir(parents=True, exist_ok=True)
        files["checkpointconfig.json"] = {"LocalPath": str(folder)}
    for name, value in files.items():
        (config / name).write_text(json.dumps(value, indent=1), encoding="utf-8")


def _link(source: Path, channel: Path) -> None:
    """A folder becomes the channel; a single object lies in it under its name."""
    if source.is_dir():
        channel.symlink_to(source, target_is_directory=True)
        return
    channel.mkdir()
    (channel / source.name).symlink_to(source)


def _die_with_parent() -> None:
    """A supervisor that is killed takes the training along (Linux only, harmless elsewhere)."""
    try:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    except AttributeError:
        return


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def main() -> None:
    """Runs the job of the record named on the command line; the outcome is in its state."""
    record = Record(Path(sys.argv[1]))
    job = _Job(record)
    signal.signal(signal.SIGTERM, job.stop)
    try:
        ended = job.run()
    except (OSError, LaunchError, archive.ArchiveError) as error:
        ended = {"TrainingJobStatus": "Failed", "SecondaryStatus": "Failed"}
        ended["FailureReason"] = str(error)
    record.update(**ended, TrainingEndTime=time.time())


if __name__ == "__main__":
    main()
