"""Runs inside an image: prints as JSON what test_images.py asks about its packages."""

import json
import sys
from importlib.metadata import distributions

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

versions: dict[str, list[str]] = {}
needs: list[tuple[str, Requirement]] = []
for found in distributions():
    name = canonicalize_name(found.name)
    versions.setdefault(name, []).append(found.version)
    needs += [(name, Requirement(text)) for text in found.requires or []]

unmet = []
for name, need in needs:
    if need.marker is not None and not need.marker.evaluate({"extra": ""}):
        continue
    have = versions.get(canonicalize_name(need.name), [""])[0]
    if not have or not need.specifier.contains(have, prereleases=True):
        unmet.append([name, need.name, have])

json.dump({"versions": versions, "unmet": unmet}, sys.stdout)
