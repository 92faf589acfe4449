"""The CUDA images, as far as a machine without a GPU can tell. `make test-cuda-images` builds them.

Several GB each, so not among the other tests' images.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SIZE_LIMITS = {"training": 1.15, "serving": 1.1}
"""Uncompressed, over the floor: the base, Python, torch and NVIDIA's wheels."""

LIBRARIES = r"""
import collections, json, pathlib, re, sys
import torch
found = collections.defaultdict(set)
for root in ("/opt", "/usr"):
    for path in pathlib.Path(root).rglob("lib*.so*"):
        if re.match(r"lib(cu|nv|nccl)", path.name) and path.is_file():
            found[path.name.split(".so")[0]].add(str(path.resolve()))
from byoc import cuda
json.dump({
    "cuda": torch.version.cuda,
    "available": torch.cuda.is_available(),
    "read": cuda.torch_cuda(),
    "fault": cuda.driver_fault(),
    "libraries": {name: sorted(paths) for name, paths in found.items()},
}, sys.stdout)
"""


def docker(*words: str, stdin: str = "") -> str:
    done = subprocess.run(["docker", *words], input=stdin, capture_output=True, text=True)
    assert done.returncode == 0, f"docker {' '.join(words)}: {done.stderr.strip()}"
    return done.stdout


@pytest.fixture(scope="module", params=list(SIZE_LIMITS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def image(name: str) -> str:
    """byoc-NAME:cuda; skips where there is no engine or the image is not built."""
    tag = f"byoc-{name}:cuda"
    try:
        found = subprocess.run(["docker", "image", "inspect", tag], capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"no Docker: {error}")
    if found.returncode != 0:
        pytest.skip(f"{tag} is not here (make test-cuda-images builds it): {found.stderr.strip()}")
    return tag


@pytest.fixture(scope="module")
def inside(image: str) -> dict[str, Any]:
    words = ["run", "--rm", "-i", "--network", "none", image, "python3", "-"]
    found: dict[str, Any] = json.loads(docker(*words, stdin=LIBRARIES))
    return found


def size(image: str) -> int:
    return int(docker("image", "inspect", "--format", "{{.Size}}", image))


def test_size(image: str, name: str) -> None:
    built = subprocess.run(
        ["docker/images.sh", "floor", "--accelerator", "cuda"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr[-4000:]
    whole, least = size(image), size("byoc-floor:cuda")
    ratio = whole / least
    print(f"{name}: {whole / 1e9:.2f} GB, {ratio:.2f} of the floor's {least / 1e9:.2f} GB")
    assert ratio <= SIZE_LIMITS[name]


def test_torch_is_built_for_the_cuda_that_the_lock_brings(inside: dict[str, Any]) -> None:
    lock = (ROOT / "docker/requirements/torch-cuda.txt").read_text()
    (runtime,) = (
        line.split("==")[1].split()[0]
        for line in lock.splitlines()
        if line.startswith("nvidia-cuda-runtime==")
    )
    assert inside["cuda"].split(".")[0] == runtime.split(".")[0]
    assert inside["read"] == inside["cuda"]


def test_without_a_gpu_it_still_works(inside: dict[str, Any]) -> None:
    assert inside["available"] is False
    assert inside["fault"] is None


def test_every_cuda_library_is_there_once(inside: dict[str, Any]) -> None:
    names = inside["libraries"]
    assert {"libcudart", "libcublas", "libcudnn", "libnccl"} <= set(names)
    assert {name: paths for name, paths in names.items() if len(paths) > 1} == {}


def test_the_driver_is_left_to_the_host(inside: dict[str, Any]) -> None:
    assert not [name for name in inside["libraries"] if name in ("libcuda", "libnvidia-ml")]
