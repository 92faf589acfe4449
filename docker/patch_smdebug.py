"""Mends the one line of smdebug 1.0.34 that numpy 2 no longer runs; ends the build if it moved."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

OLD, NEW = ".tostring()", ".tobytes()"


def main() -> int:
    package = importlib.util.find_spec("smdebug")
    if package is None or package.origin is None:
        sys.exit("patch_smdebug: smdebug is not installed")
    path = Path(package.origin).parent / "core" / "tfevent" / "util.py"
    text = path.read_text(encoding="utf-8")
    if text.count(OLD) == 0 and text.count(NEW) == 1:
        return 0  # mended already: an earlier run, or the installer's cache has it so
    if text.count(OLD) != 1:
        sys.exit(
            f"patch_smdebug: {path} has {text.count(OLD)} times {OLD}, not once: look at it anew"
        )
    # A new file in its place: the old one may share its bytes with the installer's cache.
    mended = path.with_name("util.py.mended")
    mended.write_text(text.replace(OLD, NEW), encoding="utf-8")
    mended.replace(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
