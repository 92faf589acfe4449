"""Files of lines: cut into payloads for a container, and joined with what came out.

A line ends at a line feed and nowhere else, whatever its text holds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from byoc.launch.errors import LaunchError

MEGABYTE = 1024 * 1024
OUT = ".out"
"""What SageMaker puts behind a file's name."""


def files(source: Path) -> list[tuple[Path, Path]]:
    """Each file of the input, and its name below the output folder."""
    if source.is_file():
        return [(source, Path(source.name + OUT))]
    found = sorted(path for path in source.rglob("*") if path.is_file())
    if not found:
        raise LaunchError(f"there is no file in {source}")
    names = (path.relative_to(source) for path in found)
    return [
        (path, name.with_name(name.name + OUT)) for path, name in zip(found, names, strict=True)
    ]


def payloads(path: Path, *, is_split: bool, is_single: bool, megabytes: int) -> Iterator[bytes]:
    """A file's bodies: whole lines, as many as fit, or one by one; the whole file unless split.

    Raises ``LaunchError`` for a line, or a whole file, that does not fit.
    """
    limit = megabytes * MEGABYTE
    if not is_split:
        if path.stat().st_size > limit:
            raise LaunchError(f"{path} has more than {megabytes} MB, and SplitType is None")
        yield path.read_bytes()
        return
    kept: list[bytes] = []
    size = 0
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if len(line) > limit:
                raise LaunchError(f"{path}, line {number} has more than {megabytes} MB")
            if kept and (is_single or size + len(line) > limit):
                yield b"".join(kept)
                kept, size = [], 0
            kept.append(line)
            size += len(line)
    if kept:
        yield b"".join(kept)


def join(given: Path, out: Path, content_type: str) -> None:
    """Rewrites ``out`` so that each line has its input's before it, as JoinSource=Input does.

    CSV: both, with a comma between; JSON: the input's object with the output as SageMakerOutput.
    Raises ``LaunchError`` where the lines are not as many.
    """
    partial = out.with_name(f".{out.name}.joined")
    is_csv = content_type.split(";")[0].strip() == "text/csv"
    with given.open("rb") as lines, out.open("rb") as results, partial.open("wb") as joined:
        for line in lines:
            result = next(results, None)
            if result is None:
                raise LaunchError(f"{out} has fewer lines than {given}")
            pair = line.rstrip(b"\r\n"), result.rstrip(b"\r\n")
            joined.write((b",".join(pair) if is_csv else _joined(*pair)) + b"\n")
        if next(results, None) is not None:
            raise LaunchError(f"{out} has more lines than {given}")
    partial.replace(out)


def _joined(line: bytes, result: bytes) -> bytes:
    given, found = _value(line), _value(result)
    content = given if isinstance(given, dict) else {"SageMakerInput": given}
    return json.dumps(content | {"SageMakerOutput": found}, ensure_ascii=False).encode(
        errors="surrogatepass"
    )


def _value(text: bytes) -> object:
    """A line's JSON, or the line where it is none."""
    try:
        return json.loads(text)
    except ValueError:
        return text.decode(errors="replace")
