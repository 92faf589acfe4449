"""The front's configuration, as text and as nginx reads it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from byoc.serving import nginx
from byoc.serving.settings import read_settings
from byoc.serving.state import State


def test_the_configuration_holds_the_settings(tmp_path: Path) -> None:
    settings = read_settings(
        {"SAGEMAKER_BIND_TO_PORT": "9191", "SAGEMAKER_MODEL_SERVER_TIMEOUT": "7"}
    )
    text = nginx.render(settings, State(tmp_path))
    assert "listen 9191 " in text
    assert "client_max_body_size 6291456;" in text
    assert "proxy_read_timeout 7s;" in text
    assert f"server unix:{tmp_path}/inference.sock" in text


def test_the_management_interface_is_not_in_it(tmp_path: Path) -> None:
    state = State(tmp_path)
    assert state.management_socket.name not in nginx.render(read_settings({}), state)


def test_every_path_lies_in_the_states_folder(tmp_path: Path) -> None:
    text = nginx.render(read_settings({}), State(tmp_path))
    for word in ("pid", "client_body_temp_path", "proxy_temp_path", "scgi_temp_path"):
        assert f"{word} {tmp_path}/" in text


def test_nginx_takes_it(tmp_path: Path) -> None:
    if shutil.which("nginx") is None:
        pytest.skip("nginx is not installed")
    command = nginx.command(read_settings({"SAGEMAKER_BIND_TO_PORT": "9191"}), State(tmp_path))
    found = subprocess.run([*command, "-t"], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
