"""`byoc tune --where sagemaker` against moto, and against a server of our own for what it lacks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tuning_server import Tunings, job, serving

from byoc import cli
from byoc.tuning import managed

REQUESTS = Path(__file__).parent / "requests"
CAPTURE = pytest.CaptureFixture[str]
TUNE = [
    *("tune", "--where", "sagemaker", "--preset", "cola", "--name", "t"),
    *("--train", "s3://b/train", "--validation", "s3://b/dev", "--output", "s3://b/out"),
    *("--role", "arn:aws:iam::123456789012:role/job", "-Hepochs=4"),
]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(managed, "POLL_SECONDS", 0.01)


def _use(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in {**variables, "AWS_DEFAULT_REGION": variables["AWS_REGION"]}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Tunings]:
    tunings = Tunings(
        [
            job(1, "Completed", 0.52),
            job(2, "Completed", 0.48, TunedHyperParameters={"lr": "3e-05", "batch-size": "32"}),
            job(3, "Stopped", 0.7),
            job(4, "Failed", FailureReason="AlgorithmError: out of memory"),
            job(5, "Completed"),
        ]
    )
    with serving(tunings) as address:
        keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        _use(monkeypatch, {**keys, "AWS_ENDPOINT_URL": address, "AWS_REGION": "eu-central-1"})
        yield tunings


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
    preset: str, aws: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: CAPTURE
) -> None:
    """The documents were read by a person; a difference is a change of what is sent to AWS."""
    import boto3

    _use(monkeypatch, aws)
    image = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/byoc-training:1"
    command = [*TUNE, "--preset", preset, "--image", image, *REVIEWED[preset]]
    assert cli.run([*command, "--print-request"]) == 0
    reviewed = json.loads((REQUESTS / f"{preset}.json").read_text())
    assert json.loads(capsys.readouterr().out) == reviewed
    name = f"t-{preset}"
    assert cli.run([*command, "--name", name, "--detach"]) == 0
    found = boto3.client("sagemaker").describe_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=name
    )
    for part in ("HyperParameterTuningJobConfig", "TrainingJobDefinition"):
        assert found[part] == reviewed[part]


def test_a_tuning_is_followed_to_its_best_trial(server: Tunings, capsys: CAPTURE) -> None:
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
    server: Tunings, tmp_path: Path, capsys: CAPTURE
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


def test_attach_follows_and_stop_ends(server: Tunings, capsys: CAPTURE) -> None:
    assert cli.run([*TUNE, "--detach"]) == 0
    assert cli.run(["tune", "stop", "t", "--where", "sagemaker"]) == 0
    assert cli.run(["tune", "attach", "t", "--where", "sagemaker"]) == 0
    assert "t: Stopped" in capsys.readouterr().out
    assert cli.run(["tune", "stop", "t", "--where", "sagemaker"]) == 1
    assert "tuning t has ended already" in capsys.readouterr().err


def test_a_tuning_that_is_not_there_is_one_line(server: Tunings, capsys: CAPTURE) -> None:
    assert cli.run(["tune", "attach", "t", "--where", "sagemaker"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "there is no such tuning" in line


def test_a_budget_ends_the_tuning_and_stands_in_the_request(
    server: Tunings, tmp_path: Path, capsys: CAPTURE
) -> None:
    (tmp_path / "prices.toml").write_text('"ml.g5.xlarge" = 2.0\n')
    budget = ["--prices", "prices.toml", "--max-cost", "2"]
    assert cli.run([*TUNE, *budget]) == 0
    assert "StopHyperParameterTuningJob" in server.calls
    limits = server.requests["t"]["HyperParameterTuningJobConfig"]["ResourceLimits"]
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


def test_what_the_api_refuses_is_one_line(server: Tunings, capsys: CAPTURE) -> None:
    assert cli.run([*TUNE, "--instance-type", "ml.none.xlarge"]) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert "ml.none.xlarge" in line
