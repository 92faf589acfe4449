"""save.py FOLDER: writes the model as `mlflow models build-docker -m` would copy it."""

import sys

import mlflow

mlflow.pyfunc.save_model(sys.argv[1], python_model="/build/model.py", pip_requirements=["pandas"])
