"""Network isolation and the host's NVIDIA driver: T14 and T17."""

from __future__ import annotations

import re

from docker.types import Mount

from byoc.conformance.clauses import clause
from byoc.conformance.contents import files_of, read_text
from byoc.conformance.image import Image
from byoc.conformance.job import Setting, first_run, lay_out, run
from byoc.conformance.outcome import Findings, NotApplicable
from byoc.conformance.training.judging import (
    expect_failure,
    expect_success,
    need_data,
    trains,
)

MODEL_CHANNEL = "model"

_DRIVER_FILES = re.compile(
    r"(^|/)(libcuda\.so|libnvidia-(ml|ptxjitcompiler|nvvm)\.so|nvidia-smi$|nvidia\.ko)"
)
_COMPAT = re.compile(r"(^|/)compat/")
_OLD_DRIVER = "450.51.06"

_VARIABLES = ("NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES")
_USES_GPUS = re.compile(r"(^|/)(lib(cudart|cublas|nvrtc)[^/]*\.so|torch/version\.py$)")

_SMI = f"""#!/bin/sh
echo {_OLD_DRIVER}
"""


@clause("T14")
def network_isolation(image: Image) -> str:
    """Trains without a network when data and base model come through channels.

    How: `docker run --network none`; for an image whose models are base models too, with a
    finished job's model/ as the channel model.
    Remedy: read the base model from a channel where there is one, and ask no hub for anything.
    AWS: Run training and inference containers in internet-free mode
    """
    need_data(image)
    findings = Findings()
    channels = dict(image.workload.channels)
    changes: dict[str, str] = {}
    if image.workload.model_is_a_base_model and MODEL_CHANNEL not in channels:
        channels[MODEL_CHANNEL] = first_run(image).tree.model
    ended = run(image, lay_out(image, changes, channels=channels), Setting(is_isolated=True))
    what = ", ".join(sorted(channels))
    expect_success(findings, ended, f"--network none, channels {what}")
    if MODEL_CHANNEL in channels and ended.code == 0:
        findings.note((ended.stdout.strip().splitlines() or [""])[0])
    return findings.seen()


@clause("T17")
def gpu_driver(image: Image) -> str:
    """No NVIDIA driver in the image, its variables set; a driver too old is one clear line.

    How: the image's files and variables are looked at; one with nothing for a GPU in it (CUDA,
    torch or such a variable) needs none. Then a job runs on a made-up GPU host with a driver of
    CUDA 11.0 (a device file and an nvidia-smi that answers), and must fail with one line that
    names the driver. Where torch is a CPU build its version file is replaced by one that
    says CUDA, so that the line is tried all the same.
    Remedy: install CUDA's user space only, set NVIDIA_VISIBLE_DEVICES=all and
    NVIDIA_DRIVER_CAPABILITIES=compute,utility, compare the driver with torch.version.cuda at start.
    AWS: Use your own training algorithms, GPU images
    """
    findings = Findings()
    found = [it for it in files_of(image) if _DRIVER_FILES.search(it) and not _COMPAT.search(it)]
    # Stubs are for linking: no program ever loads one.
    found = [it for it in found if "/stubs/" not in it]
    findings.expect(not found, f"the driver's own: {', '.join(found[:5])}", "no driver's files")
    if not found and not _is_for_gpus(image):
        raise NotApplicable("nothing in it is for a GPU: no CUDA, no torch, no NVIDIA_ variable")
    for name in _VARIABLES:
        value = image.variables.get(name)
        findings.expect(bool(value), f"{name} is not set", f"{name}={value}")
    _old_driver(image, findings)
    return findings.seen()


def _is_for_gpus(image: Image) -> bool:
    return any(image.variables.get(it) for it in _VARIABLES) or any(
        _USES_GPUS.search(path) for path in files_of(image)
    )


def _old_driver(image: Image, findings: Findings) -> None:
    version = next((it for it in files_of(image) if it.endswith("torch/version.py")), None)
    if version is None or not trains(image) or image.workload.is_a_script:
        findings.note("an old driver: not tried, needs torch in the image and channels")
        return
    folder = image.engine.folder("driver")
    (folder / "nvidia-smi").write_text(_SMI, encoding="utf-8")
    (folder / "nvidia-smi").chmod(0o755)
    (folder / "device").touch()
    mounts = [
        Mount("/dev/dxg", str(folder / "device"), type="bind"),
        Mount("/usr/bin/nvidia-smi", str(folder / "nvidia-smi"), type="bind", read_only=True),
    ]
    text = read_text(image, version)
    if re.search(r"^cuda\b.*= *None", text, re.MULTILINE):
        text = re.sub(r"(?m)^(cuda\b.*= *)None", r"\g<1>'13.0'", text)
        (folder / "version.py").write_text(text, encoding="utf-8")
        mounts.append(Mount(f"/{version}", str(folder / "version.py"), type="bind", read_only=True))
        findings.note("a CPU build of torch, made to say CUDA 13.0")
    ended = run(image, lay_out(image), Setting(mounts=mounts))
    expect_failure(findings, ended, f"driver {_OLD_DRIVER}", [_OLD_DRIVER, "driver"])
    findings.note(
        "all jobs ran with the host's GPUs" if image.engine.gpu else "a real GPU: not tried"
    )
