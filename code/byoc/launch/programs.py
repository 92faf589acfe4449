"""The programs that `serve` needs besides Python, where no image brings them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable

from byoc.launch.errors import LaunchError

DEBIAN_PACKAGES = {"java": "openjdk-17-jre-headless", "nginx": "nginx"}
"""Program to the Debian package that has it."""

_APT = ["apt-get", "install", "-y", "--no-install-recommends"]


def missing() -> dict[str, str]:
    """Those of ``DEBIAN_PACKAGES`` that are not on PATH."""
    # Debian keeps servers out of an ordinary user's PATH.
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    return {
        program: package
        for program, package in DEBIAN_PACKAGES.items()
        if shutil.which(program, path=path) is None
    }


def ensure_programs(say: Callable[[str], None]) -> None:
    """Installs what is missing when run as root on Debian, and says so.

    Raises ``LaunchError`` that names program and package where that cannot be done.
    """
    lacking = missing()
    if not lacking:
        return
    names = ", ".join(f"{program} (Debian package {name})" for program, name in lacking.items())
    packages = list(lacking.values())
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise LaunchError(
            f"the model server needs {names}: install it, for example `apt-get install "
            f"{' '.join(packages)}` as root"
        )
    say(f"the model server needs {names}: installing")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = _run([*_APT, *packages], environment)
    if done.returncode != 0:  # most often because the package lists are missing
        _run(["apt-get", "update"], environment)
        done = _run([*_APT, *packages], environment)
    if done.returncode != 0 or missing():
        said = done.stderr.strip().splitlines()
        raise LaunchError(
            f"could not install {names}: {said[-1] if said else 'apt-get says nothing'}"
        )


def _run(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
