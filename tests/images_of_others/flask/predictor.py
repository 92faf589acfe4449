"""The flask application: the nearest of the means that `train` found, for each line of CSV."""

import json
import math
from pathlib import Path

import flask

MODEL = Path("/opt/ml/model/means.json")


class Service:
    means = None

    @classmethod
    def get(cls):
        """Loads the model when it is first asked for."""
        if cls.means is None:
            cls.means = json.loads(MODEL.read_text())
        return cls.means


app = flask.Flask(__name__)


@app.route("/ping", methods=["GET"])
def ping():
    healthy = Service.get() is not None
    return flask.Response("\n", status=200 if healthy else 404, mimetype="application/json")


@app.route("/invocations", methods=["POST"])
def invocations():
    if flask.request.content_type != "text/csv":
        return flask.Response("This predictor only supports CSV", status=415, mimetype="text/plain")
    means = Service.get()
    answers = []
    for line in flask.request.data.decode("utf-8").splitlines():
        row = [float(cell) for cell in line.split(",")]
        answers.append(min(means, key=lambda it: math.dist(row, means[it])))
    return flask.Response("".join(f"{it}\n" for it in answers), status=200, mimetype="text/csv")
