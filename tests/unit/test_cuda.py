"""The host's driver against torch's CUDA, on a made-up machine under tmp_path."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from byoc import cuda

CLOSED = (
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  {}  Sun May 12 19:39:15 UTC 2024\n"
    "GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n"
)
OPEN = (
    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {}  Release Build\n"
    "GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)\n"
)


class Machine:
    """A root folder with devices, a driver and compat folders; torch's CUDA as told."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.monkeypatch = root, monkeypatch
        self.started: list[list[str]] = []
        monkeypatch.setattr(cuda, "_ROOT", root)
        monkeypatch.setattr(cuda, "torch_cuda", lambda: "13.0")
        monkeypatch.setattr(os, "execv", lambda _program, words: self.started.append(words))
        for name in ("BYOC_CUDA_COMPAT", "CUDA_COMPAT_DIR", "LD_LIBRARY_PATH"):
            # First set, then deleted: so that what the code sets is taken back at the end.
            monkeypatch.setenv(name, "")
            monkeypatch.delenv(name)

    def file(self, path: str, text: str = "") -> Path:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return target

    def gpu(self, driver: str, form: str = CLOSED) -> None:
        self.file("dev/nvidia0")
        self.file("proc/driver/nvidia/version", form.format(driver))

    def torch_for(self, version: str | None) -> None:
        self.monkeypatch.setattr(cuda, "torch_cuda", lambda: version)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


@pytest.mark.parametrize("form", [CLOSED, OPEN])
@pytest.mark.parametrize(
    ("built_for", "driver", "fits"),
    [
        ("13.0", "580.65.06", True),
        ("13.0", "590.10", True),
        ("13.0", "575.57.08", False),
        ("12.6", "525.60.13", True),
        ("12.6", "470.256.02", False),
        ("14.0", "580.65.06", True),  # nothing is known of it: no claim is made
        (None, "470.256.02", True),
    ],
)
def test_driver_against_cuda(
    machine: Machine, form: str, built_for: str | None, driver: str, fits: bool
) -> None:
    machine.gpu(driver, form)
    machine.torch_for(built_for)
    assert (cuda.driver_fault() is None) == fits


def test_the_fault_is_one_line_with_both_versions(machine: Machine) -> None:
    machine.gpu("535.183.01")
    fault = cuda.driver_fault()
    assert fault is not None
    assert "\n" not in fault
    assert "535.183.01" in fault
    assert "CUDA 13.0 needs 580" in fault


def test_a_container_without_a_gpu_is_not_asked_for_a_driver(machine: Machine) -> None:
    machine.file("proc/driver/nvidia/version", CLOSED.format("470.256.02"))
    assert cuda.driver_version() is None
    assert cuda.driver_fault() is None


def test_nvidia_smi_is_asked_where_proc_is_silent(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.file("dev/dxg")
    tool = machine.file("bin/nvidia-smi", "#!/bin/sh\necho 560.94\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tool.parent))
    assert cuda.driver_version() == (560, 94)


def test_a_driver_that_cannot_be_asked_is_no_fault(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.file("dev/nvidia0")
    monkeypatch.setenv("PATH", str(machine.root))
    assert cuda.driver_fault() is None


def test_compat_restarts_the_process_once(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.gpu("535.183.01")
    compat = machine.file("usr/local/cuda/compat/libcuda.so.580.65.06").parent
    monkeypatch.setenv("LD_LIBRARY_PATH", "/elsewhere")
    cuda.use_compat()
    assert machine.started == [[sys.executable, *sys.orig_argv[1:]]]
    assert os.environ["LD_LIBRARY_PATH"] == f"{compat}:/elsewhere"
    cuda.use_compat()
    assert len(machine.started) == 1
    assert cuda.driver_fault() is None


def test_a_folder_that_is_named_comes_instead_of_the_usual_ones(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.gpu("535.183.01")
    machine.file("usr/local/cuda/compat/libcuda.so.580.65.06")
    named = machine.file("mounted/libcuda.so.580.95.05").parent
    monkeypatch.setenv("CUDA_COMPAT_DIR", str(named))
    cuda.use_compat()
    assert os.environ["LD_LIBRARY_PATH"] == str(named)


@pytest.mark.parametrize("library", ["libcuda.so.570.86.10", "libnvidia-nvvm.so.580.65.06"])
def test_compat_that_does_not_help_is_left_alone(machine: Machine, library: str) -> None:
    machine.gpu("535.183.01")
    machine.file(f"usr/local/cuda/compat/{library}")
    cuda.use_compat()
    assert machine.started == []
    assert cuda.driver_fault() is not None


def test_compat_is_not_put_before_a_newer_driver(machine: Machine) -> None:
    machine.gpu("590.10")
    machine.file("usr/local/cuda/compat/libcuda.so.580.65.06")
    cuda.use_compat()
    assert machine.started == []


def test_torchs_cuda_is_read_without_importing_torch() -> None:
    code = "import sys; from byoc import cuda; cuda.torch_cuda(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_new_start_is_the_same_process_with_the_new_environment(tmp_path: Path) -> None:
    """For real: a script that asks for compat on a made-up old machine."""
    folder = tmp_path / "compat"
    folder.mkdir()
    (folder / "libcuda.so.580.65.06").touch()
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys\n"
        "from byoc import cuda\n"
        "cuda.torch_cuda, cuda.driver_version = lambda: '13.0', lambda: (535, 54)\n"
        "print(os.getpid(), flush=True)\n"
        "cuda.use_compat()\n"
        "print(os.environ['LD_LIBRARY_PATH'], sys.argv[1], cuda.driver_fault())\n"
    )
    answer = subprocess.run(
        [sys.executable, str(script), "word"],
        env={"CUDA_COMPAT_DIR": str(folder), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    first, second, last = answer.stdout.splitlines()
    assert first == second
    assert last == f"{folder} word None"
