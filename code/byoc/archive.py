"""model.tar.gz and output.tar.gz: packed and unpacked so that nothing torn or strange gets through.

An archive holds plain files and folders under relative names, and nothing else: no links, no
devices, no absolute names, no ``..``. Whatever lies under the final name is whole: the work is
done beside it and renamed.
"""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
import zlib
from pathlib import Path, PurePosixPath

COMPRESSION = 1
"""Weights hardly shrink: level 1 is several times faster than the default and as small."""


class ArchiveError(Exception):
    """An archive that cannot be made or must not be unpacked; the message is one line."""


def pack(folder: Path, archive: Path) -> None:
    """Writes what ``folder`` holds (not the folder itself) to ``archive`` (.tar.gz).

    Raises ``ArchiveError`` for anything that is neither file nor folder, and where the archive
    cannot be written; what lay under its name before stays untouched then.
    """
    try:
        archive.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{archive.name}.", dir=archive.parent)
        partial = Path(name)
        try:
            with (
                os.fdopen(handle, "wb") as raw,
                tarfile.open(fileobj=raw, mode="w:gz", compresslevel=COMPRESSION) as tar,
            ):
                for path in sorted(folder.rglob("*")):
                    _add(tar, path, folder)
            partial.chmod(0o644)  # mkstemp's 0600 would hide the result from its users
            partial.replace(archive)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise ArchiveError(f"cannot write {archive}: {error.strerror or error}") from error


def _add(tar: tarfile.TarFile, path: Path, folder: Path) -> None:
    if path.is_symlink() or not (path.is_file() or path.is_dir()):
        raise ArchiveError(f"{path} is neither a file nor a folder: it cannot be archived")
    tar.add(path, arcname=str(path.relative_to(folder)), recursive=False, filter=_anonymous)


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Who packed it is nobody's business, and would not exist where it is unpacked."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


def unpack(archive: Path, folder: Path) -> None:
    """Makes ``folder`` of what ``archive`` holds; the folder must not exist, or be empty.

    Raises ``ArchiveError`` where the archive is missing, broken, or holds a member that could
    reach outside; ``folder`` is then not made.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ArchiveError(f"cannot unpack {archive}: {folder} is not an empty folder")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            with tarfile.open(archive, "r:gz") as tar:
                for member in tar:
                    _extract(tar, member, partial, archive)
            partial.chmod(0o755)
            partial.replace(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise ArchiveError(f"{archive} is not a whole tar.gz archive: {error}") from error
    except OSError as error:
        raise ArchiveError(f"cannot unpack {archive}: {error.strerror or error}") from error


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, root: Path, archive: Path) -> None:
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts or "\\" in member.name:
        raise ArchiveError(f"{archive} holds the name {member.name!r}, which leads outside")
    target = root / name
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    source = tar.extractfile(member) if member.isreg() else None
    if source is None:
        raise ArchiveError(f"{archive} holds {member.name!r}, which is neither a file nor a folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    with source, target.open("wb") as out:
        shutil.copyfileobj(source, out)
    # Scripts that a model brings may need their executable bit; nothing else of the mode is kept.
    target.chmod(0o755 if member.mode & 0o100 else 0o644)
