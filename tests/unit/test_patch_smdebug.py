"""docker/patch_smdebug.py: one line is mended, or the build ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "docker" / "patch_smdebug.py"
LINE = "content = array.tostring()\n"


def patched(tmp_path: Path, source: str) -> tuple[subprocess.CompletedProcess[str], str]:
    """What the script says of an smdebug with that util.py, and what the file holds then."""
    util = tmp_path / "smdebug" / "core" / "tfevent" / "util.py"
    util.parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "smdebug" / "__init__.py").touch()
    util.write_text(source)
    done = subprocess.run(
        [sys.executable, SCRIPT],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done, util.read_text()


def test_the_line_is_mended_once(tmp_path: Path) -> None:
    for source in (LINE, LINE.replace("tostring", "tobytes")):
        done, text = patched(tmp_path, source)
        assert (done.returncode, done.stderr) == (0, "")
        assert text == "content = array.tobytes()\n"


@pytest.mark.parametrize("source", ["", LINE * 2])
def test_the_build_ends_where_the_line_has_moved(tmp_path: Path, source: str) -> None:
    done, text = patched(tmp_path, source)
    assert done.returncode == 1
    assert "util.py" in done.stderr
    assert "look at it anew" in done.stderr
    assert text == source
