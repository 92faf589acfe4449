"""Rules over whole jobs: what is read, what is refused, what a user's own rule can do."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from smdebug.core.modes import ModeKeys
from smdebug.rules.rule import Rule

from byoc.debugger.engine import RuleSet, evaluate
from byoc.debugger.events import saves
from byoc.debugger.findings import from_json, to_json
from byoc.debugger.own_rules import RuleError
from byoc.debugger.rules.parameters import ParameterError
from byoc.debugger.rules.registry import RULES, TENSOR_RULES
from byoc.debugger.run import Run
from byoc.debugger.save import Save
from debugged import COLLECTIONS, Saves, judge, write_with_smdebug


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What smdebug's own hook left of 24 steps with learning rate 0, and 8 of validation."""
    folder = tmp_path_factory.mktemp("job") / "tensors"
    write_with_smdebug(folder, "train")
    return folder


@pytest.fixture(scope="module")
def reduced_job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reduced") / "tensors"
    write_with_smdebug(folder, "reduced")
    return folder


@pytest.mark.parametrize("which", ["job", "reduced_job"])
def test_the_reader_reads_what_smdebug_reads(which: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(which)
    theirs = np.load(folder.with_suffix(".npz"))
    ours = {}
    for save in saves(folder):
        for name in save.names():
            whole = save.whole(name)
            if whole is not None:
                ours[f"{save.step}|{name}"] = whole
            else:
                for (reduction, absolute), value in save.reductions[name].items():
                    ours[f"{save.step}|{name}|{reduction}|{absolute}"] = np.float32(value)
    assert set(ours) == set(theirs.files)
    for key in theirs.files:
        np.testing.assert_array_equal(ours[key], theirs[key], err_msg=key)


def test_a_job_that_smdebugs_hook_wrote_is_judged(job: Path, reduced_job: Path) -> None:
    """Learning rate 0: loss and weights stand still; only smdebug's names and collections help."""
    given = {
        "UnchangedTensor": {"collection_names": "weights"},
        "LossNotDecreasing": {"mode": "TRAIN"},
    }
    for folder in (job, reduced_job):
        found = {
            result.rule: result
            for result in evaluate(
                Run(folder, tensors=folder),
                ["LossNotDecreasing", "UnchangedTensor", "VanishingGradient", "DeadRelu"],
                "aws",
                {**given, "DeadRelu": {"tensor_regex": "1_output"}},
            )
        }
        assert found["LossNotDecreasing"].status == "fired"
        assert found["LossNotDecreasing"].findings[0].tensor == "CrossEntropyLoss_output_0"
        assert found["UnchangedTensor"].findings[0].tensor == "Sequential_0.weight"
        assert found["VanishingGradient"].status == "quiet"
        assert found["DeadRelu"].status == "quiet"


def test_every_rule_takes_a_job_with_nothing_saved(tmp_path: Path) -> None:
    for parameter_set in ("aws", "recommended"):
        for result in evaluate(Run(tmp_path), parameter_set=parameter_set):
            assert result.status == "not evaluated", result.rule
            assert result.reason, result.rule


def test_every_rule_takes_odd_tensors() -> None:
    """Empty, scalar, text, NaN, integers: no rule fails on what a job may save."""
    saves_ = Saves()
    odd = {
        "empty": np.zeros((0, 3), np.float32),
        "text": np.array(["a", "b"]),
        "nan": np.array(np.nan),
        "loss": np.array([[0.5]]),
        "labels": np.array([-100, 1, 0]),
        "predictions": np.array([[0.1, 0.9], [0.3, 0.7], [0.5, 0.5]]),
        "input_ids": np.zeros((2, 0), np.int64),
        "layer0.weight": np.array(3.0),
        "gradient/layer0.weight": np.array([], np.float32),
        "h_tanh_input": np.array(2.0),
        "h_relu_output": np.array(2.0),
    }
    for number in range(30):
        saves_.train(**odd)
        if number % 10 == 9:
            saves_.validate(**odd)
    for parameter_set in ("aws", "recommended"):
        rules = RuleSet(parameter_set=parameter_set)
        rules.set_collections(COLLECTIONS)
        for save in saves_:
            rules.save(save)
        rules.end()
        assert [r.reason for r in rules.results() if "failed" in r.reason] == []


def test_live_and_afterwards_agree(job: Path) -> None:
    afterwards = evaluate(Run(job, tensors=job), ["LossNotDecreasing", "ExplodingTensor"], "aws")
    live = RuleSet(["LossNotDecreasing", "ExplodingTensor"], "aws", keep=2)
    live.set_collections({"losses": {"tensor_names": ["CrossEntropyLoss_output_0"]}})
    fired = [finding for save in saves(job) for finding in live.save(save)] + live.end()
    assert live.results() == afterwards
    assert len(fired) == sum(result.fired for result in afterwards) > 0


def test_only_new_steps_are_read_and_half_written_ones_wait(job: Path, tmp_path: Path) -> None:
    assert [save.step for save in saves(job, after=19)] == [20, 24, 28]
    copy = tmp_path / "events" / "000000000004"
    copy.mkdir(parents=True)
    whole = next((job / "events" / "000000000004").glob("*.tfevents")).read_bytes()
    (copy / "000000000004_worker_0.tfevents").write_bytes(whole[: len(whole) // 2])
    (copy / "000000000004_worker_1.tfevents.tmp").write_bytes(whole)
    (torn,) = saves(tmp_path)
    assert 0 < len(torn.names()) < 10


def test_rules_run_under_smdebugs_own_invoker(job: Path, tmp_path: Path) -> None:
    """On what ``create_trial`` gives, by ``invoke_rule``: in a process of its own."""
    script = tmp_path / "stock.py"
    script.write_text(
        "import sys\n"
        "from smdebug.rules import invoke_rule\n"
        "from smdebug.trials import create_trial\n"
        "from byoc.debugger.rules.losses import LossNotDecreasing\n"
        "trial = create_trial(sys.argv[1])\n"
        "rule = LossNotDecreasing(trial, parameter_set='aws', mode='TRAIN')\n"
        "invoke_rule(rule, end_step=29)\n"
        "print(*(finding.step for finding in rule.findings))\n"
    )
    done = subprocess.run(
        [sys.executable, str(script), str(job)],
        env={
            **os.environ,
            "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": "python",
            "SMDEBUG_LOG_LEVEL": "error",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["12"]


def test_a_users_own_rule(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from smdebug.rules.rule import Rule\n"
        "class TooHigh(Rule):\n"
        "    def __init__(self, base_trial, bound=1.0):\n"
        "        super().__init__(base_trial, action_str='')\n"
        "        self.bound = bound\n"
        "    def invoke_at_step(self, step):\n"
        "        names = self.base_trial.tensor_names(step=step, collection='losses')\n"
        "        return any(self.base_trial.tensor(n).value(step) > self.bound for n in names)\n"
        "class Broken(Rule):\n"
        "    def __init__(self, base_trial, action_str):\n"
        "        super().__init__(base_trial, action_str)\n"
        "    def invoke_at_step(self, step):\n"
        "        raise ValueError('oh no')\n"
    )
    saves_ = Saves()
    for loss in (0.5, 2.0, 4.0):
        saves_.train(loss=loss)
    rules = RuleSet([f"{file}:TooHigh", f"{file}:Broken"], parameters={"TooHigh": {"bound": "3"}})
    rules.set_collections(COLLECTIONS)
    fired = [finding for save in saves_ for finding in rules.save(save)]
    assert [(finding.rule, finding.step) for finding in fired] == [("TooHigh", 2)]
    broken = rules.results()[1]
    assert (broken.status, broken.reason) == (
        "not evaluated",
        "failed at step 0: ValueError: oh no",
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("NoSuchRule", "there is no rule 'NoSuchRule'"),
        ("gone.py:Rule", "there is no file gone.py"),
        ("{here}/notes.txt:Rule", "not a Python file"),
        ("{here}/bad.py:Rule", "SyntaxError"),
        ("{here}/good.py:Missing", "no class Missing"),
    ],
)
def test_a_rule_that_is_not_there(name: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "bad.py").write_text("def")
    (tmp_path / "good.py").write_text("class Other: pass\n")
    with pytest.raises(RuleError, match=message):
        RuleSet([name.format(here=tmp_path)])


@pytest.mark.parametrize(
    ("rule", "name", "value", "wanted"),
    [
        ("LossNotDecreasing", "num_steps", "0", "a whole number from 1 on"),
        ("LossNotDecreasing", "num_steps", "2.5", "a whole number from 1 on"),
        ("LossNotDecreasing", "diff_percent", "100", "a number over 0 and under 100"),
        ("LossNotDecreasing", "mode", "both", "EVAL, TRAIN, PREDICT or GLOBAL"),
        ("LossNotDecreasing", "use_losses_collection", "yes", "True or False"),
        ("LossNotDecreasing", "tensor_regex", "(", "regular expressions"),
        ("VanishingGradient", "threshold", "small", "a number from 0 on"),
        ("Confusion", "min_diag", "1.5", "a number from 0 to 1"),
        ("Confusion", "category_no", "1", "a whole number from 2 on"),
        ("SaturatedActivation", "threshold_tanh", "5, -5", "two numbers, the lower one first"),
        ("LowGPUUtilization", "threshold_p95", "170", "a number from 0 to 100"),
        ("NLPSequenceRatio", "token_values", "pad", "a number, or numbers with commas between"),
    ],
)
def test_values_are_checked(rule: str, name: str, value: str, wanted: str) -> None:
    with pytest.raises(ParameterError) as raised:
        RuleSet([rule], "aws", {rule: {name: value}})
    assert f"rule {rule}: {name} is " in str(raised.value)
    assert wanted in str(raised.value)


def test_parameters_that_no_rule_has() -> None:
    with pytest.raises(ParameterError, match="has no parameter 'treshold'; it has: threshold"):
        RuleSet(["VanishingGradient"], parameters={"VanishingGradient": {"treshold": 1}})
    with pytest.raises(RuleError, match="parameters of Overfit, which is not chosen"):
        RuleSet(["VanishingGradient"], parameters={"Overfit": {"patience": 1}})
    with pytest.raises(ParameterError, match="choose aws or recommended"):
        RuleSet(["Overfit"], "strict")
    with pytest.raises(ParameterError, match="is not RULE_PARAMETER"):
        RuleSet(["ProfilerReport"], parameters={"ProfilerReport": {"Dataloader_min": 1}})


def test_results_survive_json() -> None:
    saves_ = Saves()
    for loss in (0.5, np.nan):
        saves_.train(loss=loss)
    result = judge(saves_, "ExplodingTensor")
    (back,) = from_json(to_json([result]))
    assert (back.status, back.fired, back.findings) == ("fired", 1, result.findings)
    with pytest.raises(ValueError, match="not the results of rules"):
        from_json('[{"rule": "x", "findings": []}]')


def test_another_job_is_compared(job: Path, reduced_job: Path, tmp_path: Path) -> None:
    run = Run(job, tensors=job)
    for other, status in ((job, "quiet"), (reduced_job, "quiet")):
        given = {"SimilarAcrossRuns": {"other_trial": str(other)}}
        (result,) = evaluate(run, ["SimilarAcrossRuns"], parameters=given)
        assert result.status == status
    changed = RuleSet(
        ["SimilarAcrossRuns"], parameters={"SimilarAcrossRuns": {"other_trial": str(job)}}
    )
    fired = []
    for save in saves(job):
        save.tensors["Sequential_0.weight"] = save.whole("Sequential_0.weight") + 1
        fired += changed.save(save)
    assert fired
    assert fired[0].tensor == "Sequential_0.weight"
    with pytest.raises(ParameterError, match="no events/ in"):
        RuleSet(
            ["SimilarAcrossRuns"], parameters={"SimilarAcrossRuns": {"other_trial": str(tmp_path)}}
        )


def test_the_registry_names_its_rules_as_aws_does() -> None:
    assert list(RULES)[:5] == [
        "LossNotDecreasing",
        "VanishingGradient",
        "Overfit",
        "Overtraining",
        "PoorWeightInitialization",
    ]
    assert len(RULES) == 28
    assert all(issubclass(rule, Rule) for rule in TENSOR_RULES)
    for name, rule in RULES.items():
        assert rule.__doc__, name
        assert "AWS:" in rule.__doc__, name


def test_ten_thousand_saves_take_seconds() -> None:
    """Every rule, 24 tensors a save; a second where nothing else runs."""
    names = [f"layer{number}.weight" for number in range(10)]
    rules = RuleSet()
    rules.set_collections(COLLECTIONS)
    values = {("mean", False): 0.1, ("std", False): 1.0, ("mean", True): 0.5, ("l2", False): 3.0}
    begin = time.process_time()
    for step in range(10_000):
        reductions = {name: {**values, ("l2", False): 3.0 + step} for name in names}
        reductions |= {f"gradient/{name}": values for name in names}
        loss = np.array(1.0 - step / 20_000)
        save = Save(step, ModeKeys.TRAIN, step, 1.6e9 + step, {"loss": loss}, reductions)
        rules.save(save)
    rules.end()
    assert time.process_time() - begin < 15
    assert {r.rule for r in rules.results() if r.status == "fired"} == set()
