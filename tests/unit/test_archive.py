"""Archives: what comes back, and what is refused."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from byoc.archive import ArchiveError, pack, unpack


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "code").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "code" / "run.sh").write_text("#!/bin/sh\n")
    (folder / "code" / "run.sh").chmod(0o755)
    return folder


def test_comes_back_whole(folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "new" / "model.tar.gz")
    unpack(tmp_path / "new" / "model.tar.gz", tmp_path / "back")
    assert (tmp_path / "back" / "config.json").read_text() == "{}"
    assert os.access(tmp_path / "back" / "code" / "run.sh", os.X_OK)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model.tar.gz"]


def test_names_are_relative_to_the_folder_and_nobody_owns_them(
    folder: Path, tmp_path: Path
) -> None:
    pack(folder, tmp_path / "m.tar.gz")
    with tarfile.open(tmp_path / "m.tar.gz") as tar:
        members = tar.getmembers()
    assert {member.name for member in members} == {"code", "code/run.sh", "config.json"}
    assert {(member.uid, member.uname) for member in members} == {(0, "")}


def test_a_link_is_not_packed_and_the_old_archive_stays(folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "m.tar.gz")
    before = (tmp_path / "m.tar.gz").read_bytes()
    (folder / "link").symlink_to("/etc/passwd")
    with pytest.raises(ArchiveError, match="link is neither a file nor a folder"):
        pack(folder, tmp_path / "m.tar.gz")
    assert (tmp_path / "m.tar.gz").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"model", "m.tar.gz"}


def _member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize(
    ("member", "cause"),
    [
        (_member("/etc/evil"), "leads outside"),
        (_member("../evil"), "leads outside"),
        (_member("a/../../evil"), "leads outside"),
        (_member("link", tarfile.SYMTYPE, "/etc/passwd"), "neither a file nor a folder"),
        (_member("link", tarfile.LNKTYPE, "/etc/passwd"), "neither a file nor a folder"),
        (_member("null", tarfile.CHRTYPE), "neither a file nor a folder"),
        (_member("pipe", tarfile.FIFOTYPE), "neither a file nor a folder"),
    ],
)
def test_refuses_strange_members(tmp_path: Path, member: tarfile.TarInfo, cause: str) -> None:
    with tarfile.open(tmp_path / "m.tar.gz", "w:gz") as tar:
        tar.addfile(_member("fine"), io.BytesIO())
        tar.addfile(member, io.BytesIO())
    with pytest.raises(ArchiveError, match=cause):
        unpack(tmp_path / "m.tar.gz", tmp_path / "back")
    assert [path.name for path in tmp_path.iterdir()] == ["m.tar.gz"]


@pytest.mark.parametrize("keep", [0, 10, 60])
def test_refuses_a_torn_archive(folder: Path, tmp_path: Path, keep: int) -> None:
    (folder / "weights").write_bytes(os.urandom(5000))
    pack(folder, tmp_path / "m.tar.gz")
    torn = tmp_path / "torn.tar.gz"
    torn.write_bytes((tmp_path / "m.tar.gz").read_bytes()[: keep * 50])
    with pytest.raises(ArchiveError, match=r"torn\.tar\.gz is not a whole"):
        unpack(torn, tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_a_missing_archive_and_a_full_folder_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match=r"no\.tar\.gz: No such file"):
        unpack(tmp_path / "no.tar.gz", tmp_path / "back")
    pack(folder, tmp_path / "m.tar.gz")
    with pytest.raises(ArchiveError, match="not an empty folder"):
        unpack(tmp_path / "m.tar.gz", folder)
