"""Does the host's NVIDIA driver suit this image's CUDA? And NVIDIA's cuda-compat where it does not.

The image brings CUDA's user space with torch; the driver is the host's. A driver too old for it
fails deep inside torch, or on hosting with no log at all, so `train` and `serve` ask here first.

Source: NVIDIA's "CUDA Compatibility" guide, tables of minimum drivers and forward compatibility.
"""

from __future__ import annotations

import importlib.util
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

COMPAT_VARIABLE = "CUDA_COMPAT_DIR"
_RESTARTED = "BYOC_CUDA_COMPAT"
_LIBRARY_PATH = "LD_LIBRARY_PATH"

_OLDEST_DRIVER = {11: (450,), 12: (525,), 13: (580,)}
"""By CUDA's major version: the first driver that runs every release of it."""

_ROOT = Path("/")

Version = tuple[int, ...]


def driver_fault() -> str | None:
    """What is wrong between driver and CUDA, in one line; None where nothing is.

    A CPU build of torch, a container without a GPU, and an active cuda-compat are no fault.
    """
    cuda, driver = torch_cuda(), driver_version()
    if cuda is None or driver is None or _suits(driver, cuda):
        return None
    compat = os.environ.get(_RESTARTED)
    if compat and _suits(_compat_version(Path(compat)), cuda):
        return None
    return (
        f"the host's NVIDIA driver is {_text(driver)}, and this image's torch for CUDA {cuda} "
        f"needs {_text(_needed(cuda) or ())} or newer: choose an instance or InferenceAmiVersion "
        f"with a newer driver, mount NVIDIA's cuda-compat folder and name it in {COMPAT_VARIABLE}, "
        "or build the image with TORCH_VERSION and TORCH_INDEX_URL for an older CUDA"
    )


def use_compat() -> None:
    """Puts cuda-compat's libcuda before an older driver's, by starting the process anew, once.

    The folder is ``CUDA_COMPAT_DIR``, else /usr/local/cuda*/compat. Does nothing where the
    driver suits, or where no folder holds a libcuda that does. The dynamic loader reads
    LD_LIBRARY_PATH at a program's start only: hence the new start, with the same arguments and,
    as PID 1 must, the same process id.
    """
    cuda, driver = torch_cuda(), driver_version()
    if cuda is None or driver is None or _suits(driver, cuda) or _RESTARTED in os.environ:
        return
    folder = next((it for it in _compat_folders() if _suits(_compat_version(it), cuda)), None)
    if folder is None:
        return
    print(
        f"cuda: driver {_text(driver)} is older than CUDA {cuda} needs: using {folder}",
        file=sys.stderr,
        flush=True,
    )
    before = os.environ.get(_LIBRARY_PATH)
    os.environ[_LIBRARY_PATH] = f"{folder}:{before}" if before else str(folder)
    os.environ[_RESTARTED] = str(folder)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606


def torch_cuda() -> str | None:
    """The CUDA version that torch was built for, such as ``13.0``; None for a CPU build.

    Reads torch's version file and leaves torch itself alone: importing it takes a second, and
    must not come before a model server forks.
    """
    package = importlib.util.find_spec("torch")
    if package is None or package.origin is None:
        return None
    found = runpy.run_path(str(Path(package.origin).with_name("version.py"))).get("cuda")
    return found if isinstance(found, str) else None


def driver_version() -> Version | None:
    """The host's driver, such as ``(535, 183, 1)``; None where this process was given no GPU."""
    # /proc shows the host's driver to every container; a device is there only if asked for.
    if not any(_ROOT.glob("dev/nvidia[0-9]*")) and not (_ROOT / "dev/dxg").exists():
        return None
    try:
        line = (_ROOT / "proc/driver/nvidia/version").read_text(encoding="utf-8", errors="replace")
    except OSError:
        line = _ask_nvidia_smi()
    found = re.search(r"\b(\d{3,}(?:\.\d+)+)\b", line)
    return _parsed(found[1]) if found else None


def _ask_nvidia_smi() -> str:
    """Where /proc does not tell (WSL 2). An empty text where it cannot say either."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout if answer.returncode == 0 else ""


def _compat_folders() -> list[Path]:
    """Where cuda-compat may lie; a folder that the user names is the only candidate."""
    named = os.environ.get(COMPAT_VARIABLE)
    if named:
        return [Path(named)]
    plain = _ROOT / "usr/local/cuda/compat"
    return [plain, *sorted(_ROOT.glob("usr/local/cuda-*/compat"), reverse=True)]


def _compat_version(folder: Path) -> Version:
    """The driver version of the folder's libcuda, from its file's name; empty where none is."""
    names = [path.name for path in folder.glob("libcuda.so.*.*")]
    return max((_parsed(name.removeprefix("libcuda.so.")) for name in names), default=())


def _needed(cuda: str) -> Version | None:
    """The oldest driver for a CUDA version; None for one that we know nothing about."""
    return _OLDEST_DRIVER.get(int(cuda.split(".")[0]))


def _suits(driver: Version, cuda: str) -> bool:
    needed = _needed(cuda)
    return needed is None or driver >= needed


def _parsed(text: str) -> Version:
    return tuple(int(part) for part in re.findall(r"\d+", text))


def _text(version: Version) -> str:
    """As NVIDIA writes it: every part after the second has two digits."""
    return ".".join([*map(str, version[:2]), *(f"{part:02d}" for part in version[2:])])
