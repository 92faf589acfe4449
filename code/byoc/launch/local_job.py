"""`python -m byoc.launch.local_job FOLDER`: one training job in SageMaker local mode.

Adds what the SDK's local mode lacks: stopping, a time limit, a FailureReason, SageMaker's layout
of the output, a channel that is a single file, and cleaning up.
"""

from __future__ import annotations

import copy
import re
import shutil
import signal
import sys
import tarfile
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

from byoc.launch.errors import LaunchError
from byoc.launch.local import SESSION
from byoc.launch.local_session import open_session, remove, stop_in_background, use_plain_log
from byoc.launch.outcome import STOPPED, outcome
from byoc.launch.state import Record, last_line
from byoc.launch.uris import stage, to_path, to_uri

_EXIT_CODE = re.compile(r"exited with code: (-?\d+)")


class _Job:
    def __init__(self, record: Record) -> None:
        self.record = record
        self.request = record.read("request.json")
        self.root = record.folder / SESSION
        self.asked_to_stop = self.out_of_time = False

    def stop(self, _number: int = 0, _frame: FrameType | None = None) -> None:
        self.asked_to_stop = True
        self.record.update(TrainingJobStatus="Stopping", SecondaryStatus="Stopping")
        stop_in_background(self.root)

    def _time_is_up(self) -> None:
        self.out_of_time = True
        stop_in_background(self.root)

    def run(self) -> dict[str, Any]:
        output = to_path(self.request["OutputDataConfig"]["S3OutputPath"], "S3OutputPath")
        # Local mode puts the artifacts right there; SageMaker under JOB/output.
        target = output / self.request["TrainingJobName"] / "output"
        request = copy.deepcopy(self.request)
        request["OutputDataConfig"]["S3OutputPath"] = to_uri(target)
        self._stage_single_files(request)
        client = open_session(self.root).sagemaker_client
        self.record.update(SecondaryStatus="Training", TrainingStartTime=time.time())
        limit = self.request.get("StoppingCondition", {}).get("MaxRuntimeInSeconds")
        clock = threading.Timer(limit or threading.TIMEOUT_MAX, self._time_is_up)
        clock.daemon = True
        clock.start()
        code, fault = 0, ""
        try:
            if not self.asked_to_stop:
                client.create_training_job(**request)
        except Exception as error:  # the SDK raises RuntimeError, and whatever its parts raise
            fault = " ".join(str(error).split())
            told = _EXIT_CODE.search(fault)
            code = int(told[1]) if told else 1
            print(fault, file=sys.stderr)
        clock.cancel()
        return self._outcome(code, fault, target)

    def _stage_single_files(self, request: dict[str, Any]) -> None:
        """Local mode would mount the whole folder that a single file lies in."""
        for channel in request.get("InputDataConfig", []):
            source = channel["DataSource"]["S3DataSource"]
            path = to_path(source["S3Uri"], f"channel {channel['ChannelName']}").resolve()
            if path.is_file():
                folder = self.record.folder / "channels" / channel["ChannelName"]
                stage(path, folder)
                path = folder
            source["S3Uri"] = to_uri(path)

    def _outcome(self, code: int, fault: str, target: Path) -> dict[str, Any]:
        # `compose up` reports 0 for containers that were stopped from outside, whatever they said.
        if self.asked_to_stop and code == 0:
            code = STOPPED
        failure = _failure(target / "output.tar.gz")
        ended = outcome(
            code,
            failure,
            asked_to_stop=self.asked_to_stop,
            out_of_time=self.out_of_time,
            last_words=fault if not _EXIT_CODE.search(fault) else last_line(self.record.log),
        )
        model = target / "model.tar.gz"
        if ended["TrainingJobStatus"] == "Failed" or _is_empty(model):
            model.unlink(missing_ok=True)  # local mode packs one whatever happened
        else:
            ended["ModelArtifacts"] = {"S3ModelArtifacts": to_uri(model)}
        return ended


def _failure(archive: Path) -> str:
    """output/failure, which local mode packs with the rest of output/."""
    try:
        with tarfile.open(archive) as tar:
            member = tar.extractfile("failure")
            return member.read().decode("utf-8", errors="replace") if member else ""
    except (OSError, KeyError, tarfile.TarError):
        return ""


def _is_empty(archive: Path) -> bool:
    try:
        with tarfile.open(archive) as tar:
            return tar.next() is None
    except (OSError, tarfile.TarError):
        return True


def main() -> None:
    """Runs the job of the record named on the command line; the outcome is in its state."""
    record = Record(Path(sys.argv[1]))
    job = _Job(record)
    signal.signal(signal.SIGTERM, job.stop)
    use_plain_log()
    try:
        ended = job.run()
    except (OSError, LaunchError, ValueError, ImportError) as error:
        ended = {"TrainingJobStatus": "Failed", "SecondaryStatus": "Failed"}
        ended["FailureReason"] = str(error)
    finally:
        remove(job.root)
        shutil.rmtree(job.root, ignore_errors=True)
    record.update(**ended, TrainingEndTime=time.time())


if __name__ == "__main__":
    main()
