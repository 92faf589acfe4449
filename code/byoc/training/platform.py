"""What `sagemaker-training` gives: the SM_* environment."""

from __future__ import annotations

import atexit
import json
import logging
import os
import socket
import tempfile
from pathlib import Path
from typing import Any

from byoc import contract
from byoc.training.faults import TrainingFault


def read_hyperparameters() -> dict[str, object]:
    """hyperparameters.json as it is; none where the file is missing."""
    found = contract.read_config("hyperparameters.json", default={})
    if not isinstance(found, dict):
        raise TrainingFault(f"{contract.config_file('hyperparameters.json')} is not a JSON object")
    return found


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
    try:
        toolkit.write_env_vars(found.to_env_vars())
    except ValueError as error:  # an equals sign in a name, a zero byte in a value
        raise TrainingFault(
            "hyperparameters or channels: a name or value cannot be part of an environment "
            f"variable (SM_HP_…, SM_CHANNEL_…): {error}"
        ) from error
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
        if contract.read_config(name) is not None:  # names the file where it is not JSON
            continue
        with tempfile.NamedTemporaryFile("w", prefix=name, delete=False) as stream:
            json.dump(content, stream)
        atexit.register(Path(stream.name).unlink, missing_ok=True)
        setattr(toolkit, variable, stream.name)
        if content is one_host:
            # Nothing says that this host's name resolves: the toolkit is not to wait for it.
            os.environ.setdefault("SM_STUDIO_LOCAL_MODE", "true")
