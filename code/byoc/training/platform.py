"""What `sagemaker-training` gives: the SM_* environment, and script mode."""

from __future__ import annotations

import logging
import os
import signal
import socket
from typing import Any

from byoc import contract
from byoc.training.config import plain
from byoc.training.faults import TrainingFault

GRACE_SECONDS = 100
"""How long a user's script may go on after SIGTERM; SageMaker itself kills after 120 s."""


class _Given(dict[str, Any]):
    """A mapping that counts as given even when empty: the toolkit reads a file that a hand-made
    tree may lack in place of anything false."""

    def __bool__(self) -> bool:
        return True


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
    resources = contract.read_config("resourceconfig.json")
    if resources is None:
        # Nobody has given this host a name that resolves: the toolkit is not to wait for it.
        os.environ.setdefault("SM_STUDIO_LOCAL_MODE", "true")
        name = socket.gethostname()
        resources = {"current_host": name, "hosts": [name], "network_interface_name": "eth0"}
    channels = contract.read_config("inputdataconfig.json", default={}) or {}
    try:
        from sagemaker_training import environment as toolkit

        found = toolkit.Environment(resources, _Given(channels), _Given(_decoded()))
    except OSError as error:
        raise TrainingFault(f"cannot use {contract.base_dir()}: {error}") from error
    except KeyError as error:
        place = contract.config_file("resourceconfig.json")
        raise TrainingFault(f"{place} has no {error.args[0]}") from error
    toolkit.write_env_vars(found.to_env_vars())
    return found


def _decoded() -> dict[str, object]:
    """Hyperparameters as the toolkit reads them: JSON where they are JSON, else as they are."""
    import json

    decoded: dict[str, object] = {}
    for name, value in read_hyperparameters().items():
        try:
            decoded[name] = json.loads(value) if isinstance(value, str) else value
        except ValueError:
            decoded[name] = value
    return decoded


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
