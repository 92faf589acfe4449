"""`byoc tune --where sagemaker` against moto, with the server in front of it for what it lacks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from account import HOST, REGION, ROLE, Account, put_image
from front import Front

from byoc import cli
from byoc.tuning import managed

REQUESTS = Path(__file__).parent / "requests"
IMAGE = f"{HOST}/byoc-training:1"
"""Of the reviewed requests."""
CAPTURE = pytest.CaptureFixture[str]
TUNE = [
    *("tune", "--where", "sagemaker", "--preset", "cola", "--name", "t"),
    *("--train", "s3://b/train", "--validation", "s3://b/dev", "--output", "s3://b/out"),
    *("--role", ROLE, "--image", f"{HOST}/byoc-training:3e3b0db-cpu", "-Hepochs=4"),
]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(managed, "POLL_SECONDS", 0.01)


def _trial(number: int, status: str, value: float | None = None, **more: Any) -> dict[str, Any]:
    """A TrainingJobSummary."""
    name = f"t-{number:03d}-0a1b2c3d"
    metric = {"MetricName": "val_loss", "Value": value}
    objective = {"FinalHyperParameterTuningJobObjectiveMetric": metric} if value is not None else {}
    return {
        "TrainingJobName": name,
        "TrainingJobArn": f"arn:aws:sagemaker:{REGION}:123456789012:training-job/{name}",
        "CreationTime": 1.8e9 + number,
        "TrainingStartTime": 1.8e9,
        "TrainingEndTime": 1.8e9 + 3600,
        "TrainingJobStatus": status,
        "TunedHyperParameters": {"lr": "0.0001", "batch-size": '"16"', "max-length": "128"},
        "ObjectiveStatus": "Succeeded" if objective else "Failed",
        **objective,
        **more,
    }


@pytest.fixture
def server(front: Front, account: Account) -> Front:
    """A tuning with five trials, which is over at its fifth description."""
    front.trials[""] = [
        _trial(1, "Completed", 0.52),
        _trial(2, "Completed", 0.48, TunedHyperParameters={"lr": "3e-05", "batch-size": "32"}),
        _trial(3, "Stopped", 0.7),
        _trial(4, "Failed", FailureReason="AlgorithmError: out of memory"),
        _trial(5, "Completed"),
    ]
    status = "HyperParameterTuningJobStatus"
    steps = [{status: "InProgress"}] * 4
    front.steps("HyperParameterTuningJob", *steps, {status: "Completed"})
    return front


def test_the_request_can_be_looked_at_before(capsys: CAPTURE) -> None:
    """No region, no credentials, no network."""
    assert cli.run([*TUNE, "--print-request"]) == 0
    request = json.loads(capsys.readouterr().out)
    assert request["HyperParameterTuningJobName"] == "t"
    fixed = request["TrainingJobDefinition"]["StaticHyperParameters"]
    assert fixed == {"monitor": "val_loss", "epochs": "4"}


REVIEWED = {
    "cola": [],
    "cola-mcc": ["--spot", "--checkpoints", "s3://b/checkpoints"],
}


@pytest.mark.parametrize("preset", REVIEWED)
def test_the_request_is_the_reviewed_one_and_moto_takes_it(
    preset: str, server: Front, capsys: CAPTURE
) -> None:
    """The documents were read by a person; a difference is a change of what is sent to AWS."""
    put_image("byoc-training", "1")
    command = [*TUNE, "--preset", preset, "--image", IMAGE, *REVIEWED[preset]]
    assert cli.run([*command, "--print-request"]) == 0
    reviewed = json.loads((REQUESTS / f"{preset}.json").read_text())
    assert json.loads(capsys.readouterr().out) == reviewed
    name = f"t-{preset}"
    assert cli.run([*command, "--name", name, "--detach"]) == 0
    (sent,) = server.requests("CreateHyperParameterTuningJob")
    algorithm = sent["TrainingJobDefinition"]["AlgorithmSpecification"]
    assert algorithm["TrainingImage"].startswith(f"{HOST}/byoc-training@sha256:")
    algorithm["TrainingImage"] = IMAGE
    for part in ("HyperParameterTuningJobConfig", "TrainingJobDefinition"):
        assert sent[part] == reviewed[part]


def test_moto_takes_the_request(server: Front, capsys: CAPTURE) -> None:
    assert cli.run([*TUNE, "--detach"]) == 0
    assert cli.run([*TUNE, "--print-request"]) == 0
    printed = json.loads(capsys.readouterr().out)
    (sent,) = server.requests("CreateHyperParameterTuningJob")
    image = sent["TrainingJobDefinition"]["AlgorithmSpecification"].pop("TrainingImage")
    assert image.startswith(f"{HOST}/byoc-training@sha256:")
    del printed["TrainingJobDefinition"]["AlgorithmSpecification"]["TrainingImage"]
    assert sent == printed


def test_a_tuning_is_followed_to_its_best_trial(server: Front, capsys: CAPTURE) -> None:
    assert cli.run(TUNE) == 0
    out, err = capsys.readouterr()
    assert "estimate: 12 trials, 2 at a time" in err
    assert "trial 3: Pruned val_loss=0.7000" in out
    assert "trial 4: Failed" in out
    assert "AlgorithmError: out of memory" in out
    assert "the objective was not in its log" in out
    assert "best:  trial 2, val_loss=0.48: lr=3e-05 batch-size=32" in out
    assert "model: s3://b/out/t-002-0a1b2c3d/output/model.tar.gz" in out
    assert cli.run(["tune", "show", "t", "--where", "sagemaker", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["best"] == 2
    assert result["trials"][0]["values"]["batch-size"] == "16"
    assert result["fixed"] == {"monitor": "val_loss", "epochs": "4"}
    assert result["ranges"]["batch-size"] == {"type": "Categorical", "values": ["16", "32", "64"]}


def test_it_leaves_the_same_page_and_files_as_a_tuning_here(
    server: Front, tmp_path: Path, capsys: CAPTURE
) -> None:
    assert cli.run(TUNE) == 0
    folder = Path("out/tune/t")
    assert f"page:  {folder}/tuning.html" in capsys.readouterr().out
    page = (folder / "tuning.html").read_text()
    for word in ("Best val_loss", "batch-size", "val_loss by trial", "no learning curves"):
        assert word in page
    best = {"lr": "3e-05", "batch-size": "32", "monitor": "val_loss", "epochs": "4"}
    assert json.loads((folder / "best.json").read_text()) == best
    assert len((folder / "trials.csv").read_text().splitlines()) == 1 + 5
    assert cli.run(["tune", "show", "t", "--where", "sagemaker", "--output", "shown"]) == 0
    assert {path.name for path in Path("shown/t").iterdir()} == {
        path.name for path in folder.iterdir()
    }


def test_attach_follows_and_stop_ends(server: Front, capsys: CAPTURE) -> None:
    assert cli.run([*TUNE, "--detach"]) == 0
    assert cli.run(["tune", "stop", "t", "--where", "sagemaker"]) == 0
    assert cli.run(["tune", "attach", "t", "--where", "sagemaker"]) == 0
    assert "t: Stopped" in capsys.readouterr().out
    assert cli.run(["tune", "stop", "t", "--where", "sagemaker"]) == 1
    assert "tuning t has ended already" in capsys.readouterr().err


def test_a_tuning_that_is_not_there_is_one_line(server: Front, capsys: CAPTURE) -> None:
    assert cli.run(["tune", "attach", "t", "--where", "sagemaker"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "ResourceNotFound" in line or "not find" in line


def test_a_budget_ends_the_tuning_and_stands_in_the_request(
    server: Front, tmp_path: Path, capsys: CAPTURE
) -> None:
    (tmp_path / "prices.toml").write_text('"ml.g5.xlarge" = 2.0\n')
    budget = ["--prices", "prices.toml", "--max-cost", "2"]
    assert cli.run([*TUNE, *budget]) == 0
    assert "StopHyperParameterTuningJob" in server.operations()
    (sent,) = server.requests("CreateHyperParameterTuningJob")
    limits = sent["HyperParameterTuningJobConfig"]["ResourceLimits"]
    assert limits["MaxRuntimeInSeconds"] == 1800  # two at a time for half an hour, at 2 an hour
    assert "at most 30.0 min, cost 2.00" in capsys.readouterr().err


FAULTS: dict[str, tuple[list[str], str]] = {
    "role": (["--role", ""], "needs --role"),
    "channel": (["--train", "data"], "train is data: on AWS it must be an s3:// URI"),
    "output": (["--output", "out"], "output is out: on AWS it must be an s3:// URI"),
    "spot": (["--spot"], "spot trials need a place for checkpoints"),
    "price": (["--max-cost", "3"], "--max-cost needs --prices"),
    "time": (["--max-time", "5"], "SageMaker takes 120"),
    "name": (["--name", "a" * 33], "no name for a tuning"),
    "debug": (["--debug"], "--debug is for the training after a tuning"),
    "detach": (["--detach", "--then-train"], "--then-train waits for the tuning's end"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_aws_would_refuse_is_said_first(name: str, capsys: CAPTURE) -> None:
    arguments, said = FAULTS[name]
    assert cli.run([*TUNE, *arguments]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_what_the_api_refuses_is_one_line(server: Front, capsys: CAPTURE) -> None:
    assert cli.run([*TUNE, "--instance-type", "ml.none.xlarge"]) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert "ml.none.xlarge" in line
