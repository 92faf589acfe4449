"""`python -m byoc.launch.process_transform FOLDER`: one transform job over a `serve` of its own.

Does what SageMaker does around the container: asks it for its parameters, cuts the input into
payloads, sends several at a time, and puts the replies together in the input's order.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

from byoc import archive
from byoc.contract import BASE_DIR_VARIABLE
from byoc.launch import runtime, transform_fields, transform_lines
from byoc.launch.errors import LaunchError
from byoc.launch.hosted import free_port, ping
from byoc.launch.process import TREE, program
from byoc.launch.state import Record, child_environment, last_line
from byoc.launch.uris import to_path

START_SECONDS = 600.0
TRIES = 4
"""SageMaker tries a request up to three times more, where the container is short of something."""


class Stopped(Exception):  # noqa: N818
    """The job was told to stop."""


class Transform:
    """The job of a record, against whatever serves on ``port``."""

    def __init__(self, record: Record, port: int) -> None:
        self._request = record.read("request.json")
        self._url = f"http://127.0.0.1:{port}"
        self._timeout = float(
            self._request.get("ModelClientConfig", {}).get("InvocationsTimeoutInSeconds", 600)
        )

    def run(self) -> None:
        """Transforms all files; raises ``LaunchError`` where a request fails."""
        request = self._request
        given, wanted = request["TransformInput"], request["TransformOutput"]
        parameters = self._parameters()
        output = to_path(wanted["S3OutputPath"], "S3OutputPath")
        for source, name in transform_lines.files(transform_fields.input_path(request)):
            target = output / name
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f".{target.name}.partial")
            bodies = transform_lines.payloads(
                source,
                is_split=given.get("SplitType") == "Line",
                is_single=parameters["BatchStrategy"] == "SingleRecord",
                megabytes=int(parameters["MaxPayloadInMB"]) or 100,
            )
            end = b"\n" if wanted.get("AssembleWith") == "Line" else b""
            with partial.open("wb") as out:
                for reply in self._replies(bodies, int(parameters["MaxConcurrentTransforms"])):
                    out.write(reply + end)
            if transform_fields.joins(request):
                transform_lines.join(source, partial, given.get("ContentType", ""))
            partial.replace(target)

    def _parameters(self) -> dict[str, Any]:
        """The request's own, else what the container says, else SageMaker's defaults."""
        found: dict[str, Any] = {}
        with contextlib.suppress(OSError, ValueError):
            url = f"{self._url}/execution-parameters"
            with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310  (our own URL)
                found = json.loads(answer.read())
        usual = {"BatchStrategy": "MultiRecord", "MaxPayloadInMB": 6, "MaxConcurrentTransforms": 1}
        chosen = {name: self._request[name] for name in usual if name in self._request}
        return usual | found | chosen

    def _replies(self, bodies: Iterator[bytes], transforms: int) -> Iterator[bytes]:
        """In the bodies' order; so many in flight, and no more read than that."""
        with ThreadPoolExecutor(transforms) as pool:
            waiting: list[Future[bytes]] = []
            try:
                for body in bodies:
                    if len(waiting) == transforms:
                        yield waiting.pop(0).result()
                    waiting.append(pool.submit(self._invoke, body))
                while waiting:
                    yield waiting.pop(0).result()
            finally:
                for future in waiting:
                    future.cancel()

    def _invoke(self, body: bytes) -> bytes:
        given, wanted = self._request["TransformInput"], self._request["TransformOutput"]
        message = {
            "Body": body,
            "ContentType": given.get("ContentType", "application/octet-stream"),
            "Accept": wanted.get("Accept", ""),
        }
        for wait in (*range(1, TRIES), 0):
            try:
                answer = runtime.post(f"{self._url}/invocations", message, self._timeout)
                return bytes(answer["Body"].read())
            except runtime.Unavailable:
                if not wait:
                    raise
                time.sleep(wait)
        raise AssertionError("the last try raises")


def main() -> None:
    """Runs the job of the record named on the command line; the outcome is in its state."""
    record = Record(Path(sys.argv[1]))
    signal.signal(signal.SIGTERM, _stop)
    try:
        _serve_and_run(record)
        ended = {"TransformJobStatus": "Completed"}
    except Stopped:
        ended = {"TransformJobStatus": "Stopped"}
    except (OSError, LaunchError, archive.ArchiveError) as error:
        ended = {"TransformJobStatus": "Failed", "FailureReason": str(error)}
    record.update(**ended, TransformEndTime=time.time())


def _serve_and_run(record: Record) -> None:
    state, port = record.read("state.json"), free_port()
    container = state["Container"]
    tree = record.folder / TREE
    archive.unpack(to_path(container["ModelDataUrl"], "ModelDataUrl"), tree / "model")
    environment = child_environment(
        **container.get("Environment", {}),
        **transform_fields.variables(record.read("request.json")),
        **{BASE_DIR_VARIABLE: str(tree), "SAGEMAKER_BIND_TO_PORT": str(port)},
    )
    with subprocess.Popen([program("serve")], env=environment, start_new_session=True) as server:
        try:
            _wait(server, port, record)
            record.update(TransformStartTime=time.time())
            Transform(record, port).run()
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            server.terminate()
            server.wait()
    shutil.rmtree(tree)  # weights are large, and the archive has them


def _wait(server: subprocess.Popen[bytes], port: int, record: Record) -> None:
    end = time.monotonic() + START_SECONDS
    while not ping(port):
        if server.poll() is not None:
            said = last_line(record.log, "serve:").removeprefix("serve:").strip()
            raise LaunchError(f"the model could not be served: {said}")
        if time.monotonic() > end:
            raise LaunchError(f"the model did not answer within {START_SECONDS:.0f} s")
        time.sleep(0.1)


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise Stopped


if __name__ == "__main__":
    main()
