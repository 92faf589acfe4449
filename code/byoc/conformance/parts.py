"""Which parts of the contract an image is made for, as far as it tells."""

from __future__ import annotations

import posixpath
import re

from byoc.conformance.contents import files_of
from byoc.conformance.image import Image

TRAINING, SERVING = "training", "serving"
PARTS = (TRAINING, SERVING)

_HOSTING_LABELS = "com.amazonaws.sagemaker.capabilities."
_TITLES = {"byoc-training": TRAINING, "byoc-serving": SERVING}
_PROGRAMS = {"train": TRAINING, "serve": SERVING}
_PACKAGES = {
    TRAINING: re.compile(r"(^|/)(site|dist)-packages/sagemaker_training/"),
    SERVING: re.compile(r"(^|/)(site|dist)-packages/(sagemaker_inference|mms)/"),
}
_BIN = "usr/local/sbin:usr/local/bin:usr/sbin:usr/bin:sbin:bin"


def find(image: Image) -> dict[str, str]:
    """By part, what tells of it; empty where nothing does."""
    title = image.labels.get("org.opencontainers.image.title", "")
    if title in _TITLES:
        return {_TITLES[title]: f"its title is {title}"}
    found: dict[str, str] = {}
    for name, part in _PROGRAMS.items():
        if place := _on_path(image, name):
            found[part] = f"the program /{place}"
    words = [*(image.config.get("Entrypoint") or []), *(image.config.get("Cmd") or [])]
    for name in re.findall(r"(?<![a-z])(train|serve)(?![a-z])", " ".join(words)):
        found.setdefault(_PROGRAMS[name], f"its command names {name}")
    if any(it.startswith(_HOSTING_LABELS) for it in image.labels):
        found.setdefault(SERVING, "a label of hosting's")
    if "8080/tcp" in (image.config.get("ExposedPorts") or {}):
        found.setdefault(SERVING, "it exposes port 8080")
    for part, pattern in _PACKAGES.items():
        if part not in found and any(pattern.search(path) for path in files_of(image)):
            found[part] = f"the toolkit of {part}"
    return found


def _on_path(image: Image, program: str) -> str:
    folders = (image.variables.get("PATH") or _BIN).split(":")
    names = {posixpath.join(it.strip("/"), program) for it in folders if it}
    return next((path for path in files_of(image) if path in names), "")
