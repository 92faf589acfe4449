"""The command line: exit codes, one-line errors, printed requests."""

from __future__ import annotations

import http.server
import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from byoc import cli
from byoc.commands.common import parse_hyperparameters
from byoc.launch.errors import LaunchError

CAPTURE = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _in_a_folder_without_aws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ACCESS_KEY_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))


def fails(capsys: CAPTURE, *arguments: str) -> str:
    """The one line that a failing command says."""
    assert cli.run(list(arguments)) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line]
    assert len(lines) == 1, lines
    assert lines[0].startswith("byoc: ")
    return lines[0]


def test_print_request_runs_nothing(capsys: CAPTURE, tmp_path: Path) -> None:
    arguments = ["train", "--train", "d", "-H", "lr=1e-4", "--job-name", "j", "--print-request"]
    assert cli.run(arguments) == 0
    request = json.loads(capsys.readouterr().out)
    assert request["TrainingJobName"] == "j"
    assert request["HyperParameters"] == {"lr": "1e-4"}
    uri = request["InputDataConfig"][0]["DataSource"]["S3DataSource"]["S3Uri"]
    assert uri == f"file://{tmp_path}/d"
    assert list(tmp_path.iterdir()) == []


def test_a_request_for_aws_takes_s3_and_a_role(capsys: CAPTURE) -> None:
    aws = ["train", "--where", "sagemaker", "--print-request", "--output", "s3://b/out"]
    assert "--role" in fails(capsys, *aws)
    role = ["--role", "arn:aws:iam::123456789012:role/r"]
    assert "must be an s3:// URI" in fails(capsys, *aws, *role, "--train", "folder")
    assert cli.run([*aws, *role, "--train", "s3://b/train"]) == 0
    request = json.loads(capsys.readouterr().out)
    assert request["ResourceConfig"]["InstanceType"] == "ml.g5.xlarge"


def test_debugging_is_hyperparameters(capsys: CAPTURE) -> None:
    arguments = ["train", "--train", "d", "--print-request", "--debug"]
    assert cli.run([*arguments, "-H", "debug-rules=Overfit", "--debug-actions", "stop"]) == 0
    assert json.loads(capsys.readouterr().out)["HyperParameters"] == {
        "debug": "true",
        "debug-rules": "Overfit",
        "debug-actions": "stop",
    }


def test_the_managed_debugger_is_aws_own(capsys: CAPTURE, monkeypatch: pytest.MonkeyPatch) -> None:
    line = fails(capsys, "train", "--train", "d", "--managed-debugger", "--print-request")
    assert "DebugRuleConfigurations" in line
    assert "--debug" in line
    aws = ["train", "--where", "sagemaker", "--role", "arn:aws:iam::123456789012:role/r"]
    aws += ["--output", "s3://b/out", "--managed-debugger", "--print-request"]
    monkeypatch.setenv("AWS_REGION", "us-west-2")
    assert cli.run([*aws, "--debug-rules", "Overfit,StepOutlier"]) == 0
    request = json.loads(capsys.readouterr().out)
    (rule,) = request["ProfilerRuleConfigurations"]
    assert rule["RuleEvaluatorImage"].startswith("895741380848.dkr.ecr.us-west-2.")


def test_no_region_and_no_credentials_are_told(
    capsys: CAPTURE, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["predict", "--where", "sagemaker", "--endpoint", "e", "text"]
    assert "no AWS region" in fails(capsys, *arguments)
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert "no AWS credentials" in fails(capsys, *arguments)


def test_missing_data_is_one_line(capsys: CAPTURE) -> None:
    line = fails(capsys, "train", "--train", "nowhere")
    assert "channel train: there is no file or folder" in line


def test_wrong_usage_is_2() -> None:
    assert cli.run(["train", "--where", "mars"]) == 2
    assert cli.run(["predict"]) == 2


def test_an_interrupt_is_130(monkeypatch: pytest.MonkeyPatch, capsys: CAPTURE) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("byoc.commands.data.write_corpus", lambda *_a, **_k: interrupt())
    assert cli.run(["data", "embedded", "d"]) == 130
    assert capsys.readouterr().err.strip() == "byoc: interrupted"


def test_hyperparameters_of_pairs_win_over_the_files(tmp_path: Path) -> None:
    file = tmp_path / "h.json"
    file.write_text('{"lr": 0.1, "epochs": "3"}')
    assert parse_hyperparameters(["lr=2"], file) == {"lr": "2", "epochs": "3"}
    assert parse_hyperparameters(["a=b=c"], None) == {"a": "b=c"}
    with pytest.raises(LaunchError, match="not of the form name=value"):
        parse_hyperparameters(["lr"], None)
    file.write_text("[1]")
    with pytest.raises(LaunchError, match="one JSON object"):
        parse_hyperparameters([], file)


def test_embedded_data_hangs_on_the_seed_only(tmp_path: Path, capsys: CAPTURE) -> None:
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert cli.run(["data", "embedded", name, "--seed", seed, "--size", "40"]) == 0
    texts = [(tmp_path / name / "train" / "train.tsv").read_text() for name in "abc"]
    assert texts[0] == texts[1] != texts[2]


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        inputs = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["inputs"]
        bad = "bad" in inputs
        self.send_response(400 if bad else 200)
        self.end_headers()
        body = {"error": "no"} if bad else [{"label": "good", "score": 0.875} for _ in inputs]
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_predict_prints_a_row_for_each_text(
    url: str, capsys: CAPTURE, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.run(["predict", "--url", url, "[b]one[/b]", "two"]) == 0
    out = capsys.readouterr().out
    assert "[b]one[/b]" in out
    assert out.count("0.875") == 2
    monkeypatch.setattr("sys.stdin", io.StringIO("a\n\nb\nc\n"))
    assert cli.run(["predict", "--url", f"{url}/invocations", "-"]) == 0
    assert capsys.readouterr().out.count("0.875") == 3


def test_predict_tells_what_the_server_said(url: str, capsys: CAPTURE) -> None:
    assert 'answered 400: {"error": "no"}' in fails(capsys, "predict", "--url", url, "bad")
    assert "does not answer" in fails(capsys, "predict", "--url", "http://127.0.0.1:9", "x")
    assert "no http://" in fails(capsys, "predict", "--url", "file:///etc", "x")
    assert "one of --url and --endpoint" in fails(capsys, "predict", "x")
