"""What a model's own code/requirements.txt asks for: installed at start, and only then.

Into a folder of this `serve`, in front of the image's packages, which stay as they are: a read-only
root file system is enough, and what is there already is not installed again.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from byoc.serving.faults import ServingFault

FOLDER = "packages"
_TAIL = 20
"""Lines of pip's output that the log gets where it fails."""


def requirements(model_dir: Path) -> Path | None:
    """The model's code/requirements.txt, where it brings one."""
    path = model_dir / "code" / "requirements.txt"
    return path if path.is_file() else None


def install(
    model_dir: Path, state_folder: Path, timeout: float, stop: threading.Event | None = None
) -> None:
    """Installs what the model asks for, if anything, into the state's folder.

    Raises ``ServingFault`` with pip's own cause. Returns early where ``stop`` is set.
    """
    path = requirements(model_dir)
    if path is None:
        return
    target = state_folder / FOLDER
    report = state_folder / "packages.json"
    # First what is missing, then that alone: pip's --target takes no account of what is there.
    wanted = ["-r", str(path), "--dry-run", "--report", str(report)]
    if not _pip(wanted, path.parent, timeout, stop):
        return
    found = [_pinned(it) for it in json.loads(report.read_text(encoding="utf-8"))["install"]]
    pinned = state_folder / "packages.txt"
    pinned.write_text("".join(f"{line}\n" for line in found), encoding="utf-8")
    if found:
        _pip(["-r", str(pinned), "--no-deps", "--target", str(target)], path.parent, timeout, stop)


def use(state_folder: Path) -> None:
    """Puts what was installed in front of this process's packages."""
    target = state_folder / FOLDER
    if target.is_dir():
        sys.path.insert(0, str(target))


def _pip(arguments: list[str], folder: Path, timeout: float, stop: threading.Event | None) -> bool:
    """Runs `pip install`; False where ``stop`` was set meanwhile."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input"]
    command += ["--disable-pip-version-check", "--no-cache-dir", *arguments]
    with subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        said, is_over = _read(process, timeout, stop)
    if stop is not None and stop.is_set():
        return False
    if is_over or process.returncode:
        cause = "pip took too long" if is_over else _cause(said)
        raise ServingFault(
            f"what code/requirements.txt asks for cannot be installed: {cause}",
            "\n".join(said.splitlines()[-_TAIL:]),
        )
    return True


def _read(
    process: subprocess.Popen[str], timeout: float, stop: threading.Event | None
) -> tuple[str, bool]:
    """pip's output, and whether it was ended because time is up."""
    left = timeout
    while True:
        try:
            return process.communicate(timeout=0.2)[0], False
        except subprocess.TimeoutExpired:
            left -= 0.2
            if left > 0 and not (stop is not None and stop.is_set()):
                continue
            os.killpg(process.pid, signal.SIGKILL)
            return process.communicate()[0], left <= 0


def _cause(said: str) -> str:
    """The line in which pip names the error; its last one where none does."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines or ["pip said nothing"])[-1]


def _pinned(entry: dict[str, Any]) -> str:
    """A requirement that names the very file that was chosen."""
    info = entry["download_info"]
    digest = info.get("archive_info", {}).get("hash", "")
    url = info["url"] + (f"#{digest}" if digest and "#" not in info["url"] else "")
    return f"{entry['metadata']['name']} @ {url}"
