"""One worker: loads a model from the folder of its argument, and answers frames on stdin."""

import importlib.util
import json
import os
import struct
import sys
import time
from pathlib import Path

from told import breaks

LINES = ("text/csv", "application/jsonlines")


class RefusedError(Exception):
    """The caller's fault, with its status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def read_frame(stream):
    size = stream.read(4)
    if len(size) < 4:
        sys.exit(0)
    header = json.loads(stream.read(struct.unpack("<I", size)[0]))
    return header, stream.read(header["size"])


def write_frame(stream, status: int, kind: str, body: bytes) -> None:
    header = json.dumps({"status": status, "type": kind, "size": len(body)}).encode()
    stream.write(struct.pack("<I", len(header)) + header + body)
    stream.flush()


class Doubler:
    """The default model: {"x": 2} gives {"y": 4.0}; a line 2 gives 4.0."""

    def __init__(self, folder: Path) -> None:
        self.factor = json.loads((folder / "model.json").read_text())["factor"]

    def __call__(self, body: bytes, kind: str, accept: str) -> tuple:
        plain = kind.partition(";")[0].strip()
        if accept not in ("", "*/*", "application/json", *LINES):
            raise RefusedError(406, f"cannot give {accept}")
        if plain in LINES:
            return self.lines(body, plain), plain
        if plain != "application/json" and not breaks("any-type-taken"):
            raise RefusedError(415, f"cannot take {plain}")
        try:
            given = json.loads(body)
            return json.dumps({"y": self.factor * given["x"]}).encode(), "application/json"
        except (ValueError, TypeError, KeyError) as error:
            if breaks("tracebacks-told"):
                raise
            raise RefusedError(400, 'send {"x": NUMBER}') from error

    def lines(self, body: bytes, kind: str) -> bytes:
        lines = [self.line(it, kind) for it in body.decode("utf-8", "replace").splitlines()]
        if breaks("lines-reordered"):
            lines.reverse()
        return "\n".join(lines).encode()

    def line(self, text: str, kind: str) -> str:
        try:
            return str(self.factor * float(text if kind == "text/csv" else json.loads(text)))
        except (ValueError, TypeError) as error:
            if os.environ.get("SAGEMAKER_BATCH") == "true":
                return '{"error": "no number"}'
            raise RefusedError(400, "a line is no number") from error


class Script:
    """A model's own code/inference.py."""

    def __init__(self, folder: Path) -> None:
        sys.path.insert(0, str(folder / "code"))
        spec = importlib.util.spec_from_file_location("inference", folder / "code/inference.py")
        self.code = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self.code)
        self.model = self.code.model_fn(str(folder))

    def __call__(self, body: bytes, kind: str, accept: str) -> tuple:
        if hasattr(self.code, "transform_fn"):
            found = self.code.transform_fn(self.model, body, kind, accept)
        else:
            data = self.code.input_fn(body, "" if breaks("type-not-passed") else kind)
            found = self.code.output_fn(self.code.predict_fn(data, self.model), accept)
        answer, given = found if isinstance(found, tuple) else (found, accept or "text/plain")
        return answer if isinstance(answer, bytes) else str(answer).encode(), given


def load(folder: Path):
    time.sleep(float(os.environ.get("LOAD_SECONDS", "0.5")))
    return Script(folder) if (folder / "code/inference.py").is_file() else Doubler(folder)


def main() -> None:
    answers, sys.stdout = sys.stdout.buffer, sys.stderr
    try:
        model = load(Path(sys.argv[1]))
    except BaseException as error:
        print(f"serve: cannot load {sys.argv[1]}: {error!r}", file=sys.stderr, flush=True)
        sys.exit(1)
    write_frame(answers, 200, "ready", b"")
    while True:
        header, body = read_frame(sys.stdin.buffer)
        try:
            answer, kind = model(body, header["type"], header["accept"])
            write_frame(answers, 200, kind, answer)
        except RefusedError as refused:
            text = json.dumps({"error": str(refused)}).encode()
            write_frame(answers, refused.status, "application/json", text)
        except Exception as error:
            import traceback

            text = traceback.format_exc() if breaks("tracebacks-told") else "it went wrong"
            print(f"serve: {error!r}", file=sys.stderr, flush=True)
            write_frame(answers, 500, "application/json", json.dumps({"error": text}).encode())


main()
