"""What `sagemaker-training` gives: the SM_* environment, and script mode."""

from __future__ import annotations

import atexit
import json
import logging
import os
import signal
import socket
import tempfile
from pathlib import Path
from typing import Any

from byoc import contract
from byoc.training.config import plain
from byoc.training.faults import TrainingFault

GRACE_SECONDS = 100
"""How long a user's script may go on after SIGTERM; SageMaker itself kills after 120 s."""


def read_hyperparameters() -> dict[str, object]:
    """hyperparameters.json as it is; none where the file is missing."""
    found = contract.read_config("hyperparameters.json", default={})
    if not isinstance(found, dict):
        raise TrainingFault(f"{contract.config_file('hyperparameters.json')} is not a JSON object")
    return found


def script(hyperparameters: dict[str, object]) -> str | None:
    """The user's own entry script, where script mode is asked for."""
    name = hyperparameters.get("sagemaker_program") or os.environ.get("SAGEMAKER_PROGRAM")
    return plain(name) if name else None


def environment() -> Any:
    """The toolkit's ``Environment`` of this job, after writing its SM_* variables.

    Raises ``TrainingFault`` where the tree cannot be read or written.
    """
    # Without the variable the toolkit moves everything to the home folder if /opt/ml is missing.
    os.environ.setdefault(contract.BASE_DIR_VARIABLE, str(contract.base_dir()))
    logging.getLogger("sagemaker-training-toolkit").setLevel(logging.WARNING)
    try:
        from sagemaker_training import environment as toolkit

        _stand_in_for_missing_files(toolkit)
        found = toolkit.Environment()
    except OSError as error:
        raise TrainingFault(f"cannot use {contract.base_dir()}: {error}") from error
    except KeyError as error:
        place = contract.config_file("resourceconfig.json")
        raise TrainingFault(f"{place} has no {error.args[0]}") from error
    toolkit.write_env_vars(found.to_env_vars())
    return found


def _stand_in_for_missing_files(toolkit: Any) -> None:
    """A tree made by hand may lack files that the toolkit opens, and input/ may be read-only:
    the toolkit is pointed to files of ours in their place."""
    host = socket.gethostname()
    one_host = {"current_host": host, "hosts": [host], "network_interface_name": "eth0"}
    stand_ins: dict[str, tuple[str, dict[str, Any]]] = {
        "resourceconfig.json": ("resource_config_file_dir", one_host),
        "inputdataconfig.json": ("input_data_config_file_dir", {}),
        "hyperparameters.json": ("hyperparameters_file_dir", {}),
    }
    for name, (variable, content) in stand_ins.items():
        if contract.config_file(name).is_file():
            continue
        with tempfile.NamedTemporaryFile("w", prefix=name, delete=False) as stream:
            json.dump(content, stream)
        atexit.register(Path(stream.name).unlink, missing_ok=True)
        setattr(toolkit, variable, stream.name)
        if content is one_host:
            # Nothing says that this host's name resolves: the toolkit is not to wait for it.
            os.environ.setdefault("SM_STUDIO_LOCAL_MODE", "true")


def run_script(found: Any) -> None:
    """Runs the user's script with all hyperparameters as arguments, and waits for it.

    Raises ``TrainingFault`` where it fails.
    """
    from sagemaker_training import entry_point, errors

    try:
        entry_point.run(
            uri=found.module_dir,
            user_entry_point=found.user_entry_point,
            args=found.to_cmd_args(),
            env_vars=found.to_env_vars(),
        )
    except errors._CalledProcessError as error:
        raise TrainingFault(
            f"{found.user_entry_point} failed with exit code {error.return_code}"
        ) from error
    except (errors.ClientError, OSError, ValueError) as error:
        raise TrainingFault(f"cannot run {found.user_entry_point}: {error}") from error


def forward_stop() -> None:
    """Passes SIGTERM on to the user's processes, and ends them for good when grace is over."""
    import psutil

    children = psutil.Process().children(recursive=True)

    def end(*_: object) -> None:
        for child in children:
            if child.is_running():
                child.kill()

    signal.signal(signal.SIGALRM, end)
    signal.alarm(GRACE_SECONDS)
    for child in children:
        try:
            child.terminate()
        except psutil.NoSuchProcess:
            continue
