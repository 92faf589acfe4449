"""`python sdk_v2_client.py FOLDER`: trains and hosts by version 2 of the SageMaker SDK.

In local mode, with our images, in that SDK's own environment. What came of it: told.json.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

TRAINING, SERVING = "byoc-training:cpu", "byoc-serving:cpu"
ROLE = "arn:aws:iam::000000000000:role/local"
TEXTS = ["The keys are old.", "old the keys"]


def main() -> None:
    folder = Path(sys.argv[1])
    os.environ.update(
        AWS_ACCESS_KEY_ID="local",
        AWS_SECRET_ACCESS_KEY="local",
        AWS_DEFAULT_REGION="us-east-1",
        SAGEMAKER_ADMIN_CONFIG_OVERRIDE=os.devnull,
        SAGEMAKER_USER_CONFIG_OVERRIDE=os.devnull,
    )
    from sagemaker.deserializers import JSONDeserializer
    from sagemaker.estimator import Estimator
    from sagemaker.local import LocalSession
    from sagemaker.serializers import JSONSerializer

    session = LocalSession()
    session.config = {"local": {"container_root": str(folder), "local_code": True}}
    estimator = Estimator(
        image_uri=TRAINING,
        role=ROLE,
        instance_count=1,
        instance_type="local",
        output_path=f"file://{folder}/out",
        hyperparameters=json.loads((folder / "hyperparameters.json").read_text()),
        sagemaker_session=session,
    )
    channels = {name: f"file://{folder}/data/{name}" for name in ("train", "validation")}
    estimator.fit(channels)
    predictor = estimator.deploy(
        initial_instance_count=1,
        instance_type="local",
        image_uri=SERVING,
        serializer=JSONSerializer(),
        deserializer=JSONDeserializer(),
    )
    try:
        answers = predictor.predict({"inputs": TEXTS})
    finally:
        predictor.delete_endpoint()
    told = {"model": estimator.model_data, "answers": answers}
    (folder / "told.json").write_text(json.dumps(told))


main()
