"""The lock files: hashes for everything, and one version of a package in all of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

LOCKS = sorted((Path(__file__).parents[2] / "docker/requirements").glob("*.txt"))


def packages(lock: Path) -> dict[str, str]:
    """Name and version of each; torch's builds (+cpu) count as one version."""
    found = re.findall(r"^([a-z0-9._-]+)==([^ \\\n;+]+)", lock.read_text(), re.MULTILINE)
    return dict(found)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_entry_has_hashes(lock: Path) -> None:
    entries = re.split(r"^(?=\S)", lock.read_text(), flags=re.MULTILINE)[1:]
    assert entries
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_no_address_is_in_a_lock(lock: Path) -> None:
    assert "://" not in lock.read_text()
    assert "--index-url" not in lock.read_text()


def test_a_package_has_one_version_in_all_locks() -> None:
    """But for what is never installed beside the rest: version 2 of the SDK has its own pins."""
    versions: dict[str, set[str]] = {}
    for lock in (lock for lock in LOCKS if lock.stem != "sdk-v2"):
        for name, version in packages(lock).items():
            versions.setdefault(name, set()).add(version)
    assert {name: found for name, found in versions.items() if len(found) > 1} == {}


def test_all_holds_what_the_images_hold() -> None:
    by_name = {lock.stem: packages(lock) for lock in LOCKS}
    for image in ("training", "serving"):
        assert by_name[image].items() <= by_name["all"].items()
