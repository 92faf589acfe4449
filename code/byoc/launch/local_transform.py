"""`python -m byoc.launch.local_transform FOLDER`: one transform job in SageMaker local mode.

The SDK's local mode has batch transform: it starts the container, cuts the input and puts the
replies together, one request after the other. What it lacks is added here: a reply that is no 200
fails the job (the SDK would write it into the output), lines end at line feeds alone, joining,
stopping, and cleaning up.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from byoc import archive
from byoc.launch import transform_fields, transform_lines
from byoc.launch.errors import LaunchError
from byoc.launch.hosted import free_port
from byoc.launch.local_session import open_session, remove, use_plain_log
from byoc.launch.process import TREE
from byoc.launch.process_transform import Stopped
from byoc.launch.state import Record, last_line
from byoc.launch.uris import to_path, to_uri


def main() -> None:
    """Runs the job of the record named on the command line; the outcome is in its state."""
    record = Record(Path(sys.argv[1]))
    root = record.folder / "session"
    signal.signal(signal.SIGTERM, _stop)
    use_plain_log()
    threading.excepthook = lambda _thrown: None  # the SDK's thread, when its container ends
    try:
        _run(record, root)
        ended = {"TransformJobStatus": "Completed"}
    except Stopped:
        ended = {"TransformJobStatus": "Stopped"}
    except Exception as error:  # the SDK raises RuntimeError, and whatever its parts raise
        said = last_line(record.log, "serve:")
        reason = " ".join(str(error).split())
        if "endpoint didn't launch" in reason and said.startswith("serve:"):
            reason = f"the model could not be served: {said.removeprefix('serve:').strip()}"
        ended = {"TransformJobStatus": "Failed", "FailureReason": reason}
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        remove(root)
        shutil.rmtree(root, ignore_errors=True)
    record.update(**ended, TransformEndTime=time.time())
    sys.stdout.flush()
    os._exit(0)  # the SDK's threads still wait for a container that has gone


def _run(record: Record, root: Path) -> None:
    request, state = record.read("request.json"), record.read("state.json")
    tree, output = record.folder / TREE, record.folder / "output"
    container = dict(state["Container"])
    archive.unpack(to_path(container["ModelDataUrl"], "ModelDataUrl"), tree / "model")
    container["ModelDataUrl"] = to_uri(tree / "model")
    container.setdefault("Environment", {})
    session = open_session(root, free_port())
    _raise_on_errors(session)
    _split_at_line_feeds()
    client = session.sagemaker_client
    client.create_model(ModelName=request["ModelName"], PrimaryContainer=container)
    # The SDK reads no folders below the input's, and names an output by its file alone.
    folder = record.folder / "input"
    folder.mkdir()
    files = transform_lines.files(transform_fields.input_path(request))
    staged = [folder / f"{number:06d}" for number, _ in enumerate(files)]
    for (source, _), place in zip(files, staged, strict=True):
        _link(source, place)
    client.create_transform_job(**_for_sdk(request, folder, output))
    for (source, name), place in zip(files, staged, strict=True):
        out = output / f"{place.name}{transform_lines.OUT}"
        if transform_fields.joins(request):
            transform_lines.join(source, out, request["TransformInput"].get("ContentType", ""))
        target = to_path(request["TransformOutput"]["S3OutputPath"], "S3OutputPath") / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(out, target)
    shutil.rmtree(tree)


def _link(source: Path, place: Path) -> None:
    try:
        os.link(source.resolve(), place)
    except OSError:
        shutil.copy2(source, place)


def _for_sdk(request: dict[str, Any], folder: Path, output: Path) -> dict[str, Any]:
    """The request over the staged files, without what is done here."""
    given = dict(request["TransformInput"])
    given["DataSource"] = {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": to_uri(folder)}}
    wanted = request["TransformOutput"] | {"S3OutputPath": to_uri(output)}
    changed = {"TransformInput": given, "TransformOutput": wanted}
    return {name: value for name, value in (request | changed).items() if name != "DataProcessing"}


def _raise_on_errors(session: Any) -> None:
    runtime = session.sagemaker_runtime_client
    invoke = runtime.invoke_endpoint

    def checked(*arguments: Any, **named: Any) -> Any:
        answer = invoke(*arguments, **named)
        body = answer["Body"]
        if body.status != 200:
            said = " ".join(body.read(300).decode(errors="replace").split())
            raise LaunchError(f"the container answered {body.status}: {said}")
        return answer

    runtime.invoke_endpoint = checked


def _split_at_line_feeds() -> None:
    """The SDK's own splitter ends a line at a lone carriage return too, and takes \\r\\n apart."""
    from sagemaker.core.local import data

    def split(_self: Any, path: str) -> Iterator[str]:
        with Path(path).open("r", encoding="utf-8", newline="\n") as lines:
            yield from lines

    data.LineSplitter.split = split


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise Stopped


if __name__ == "__main__":
    main()
