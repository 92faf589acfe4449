"""`python model_trainer_jobs.py PACKAGES FOLDER`: training jobs by ModelTrainer of the SDK.

A job is a line of JSON on stdin; its log is on stdout, and a line `JOB ENDED` with how it ended.
One process for all of them: the SDK takes seconds to import.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

IMAGE = "byoc-training:cpu"


def main() -> None:
    packages, folder = sys.argv[1], Path(sys.argv[2])
    sys.path.append(packages)
    keep_to_itself(folder)
    for line in sys.stdin:
        job = json.loads(line)
        try:
            train(folder / job.pop("name"), **job)
            print("JOB ENDED well", flush=True)
        except Exception as error:
            print(f"JOB ENDED badly: {' '.join(str(error).split())}", flush=True)


def keep_to_itself(folder: Path) -> None:
    """Words for credentials, and none of the SDK's telemetry."""
    config = folder / "sdk.yaml"
    config.write_text(
        "SchemaVersion: '1.0'\nSageMaker: {PythonSDK: {Modules: {TelemetryOptOut: true}}}\n"
    )
    os.environ.update(
        AWS_ACCESS_KEY_ID="local",
        AWS_SECRET_ACCESS_KEY="local",
        AWS_DEFAULT_REGION="us-east-1",
        SAGEMAKER_ADMIN_CONFIG_OVERRIDE=os.devnull,
        SAGEMAKER_USER_CONFIG_OVERRIDE=str(config),
    )


def train(root: Path, channels: dict[str, str], source: dict[str, str] | None, **more: Any) -> None:
    from sagemaker.train.configs import Compute, InputData, SourceCode
    from sagemaker.train.model_trainer import Mode, ModelTrainer

    root.mkdir()
    trainer = ModelTrainer(
        training_image=IMAGE,
        training_mode=Mode.LOCAL_CONTAINER,
        source_code=SourceCode(**source) if source else None,
        compute=Compute(instance_type="local_cpu", instance_count=1),
        base_job_name=root.name,
        role="arn:aws:iam::000000000000:role/local",
        local_container_root=str(root),
        **more,
    )
    data = [InputData(channel_name=name, data_source=path) for name, path in channels.items()]
    trainer.train(input_data_config=data, wait=True)


if __name__ == "__main__":
    main()
