"""What a failure file must not tell."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from byoc import contract
from byoc.training import redact


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(contract.BASE_DIR_VARIABLE, str(tmp_path))
    (tmp_path / "input/config").mkdir(parents=True)
    return tmp_path


def test_values_of_secret_looking_names_are_left_out(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_API_KEY", "correct-horse")
    hyperparameters = {"db-password": '"battery-staple"', "epochs": "12345678"}
    (tree / "input/config/hyperparameters.json").write_text(json.dumps(hyperparameters))
    told = redact.secrets("cannot reach correct-horse with battery-staple for 12345678")
    assert told == "cannot reach *** with *** for 12345678"


@pytest.mark.parametrize(
    "told",
    [
        lambda key: key,
        lambda key: " ".join(key.split()),  # a cause is one line
        repr,
        json.dumps,
    ],
    ids=["plain", "one-line", "repr", "json"],
)
def test_a_key_of_several_lines_is_found_however_it_is_shown(
    tree: Path, monkeypatch: pytest.MonkeyPatch, told: Callable[[str], str]
) -> None:
    key = '-- BEGIN --\nMIIE"v\tQ\\é=\n-- END --\n'
    monkeypatch.setenv("SIGNING_SECRET", key)
    (tree / "input/config/hyperparameters.json").write_text(
        json.dumps({"api-key": '"a\\"b c d e"'})
    )
    assert "MIIE" not in redact.secrets(f"cannot read {told(key)}")
    assert redact.secrets('not a"b c d e') == "not ***"


def test_keys_are_known_by_their_form(tree: Path) -> None:
    key, token = "AKIA" + "Q7" * 8, "hf_" + "aB3" * 9
    assert redact.secrets(f"lr='{key}' is not allowed; {token}") == "lr='***' is not allowed; ***"


def test_short_values_and_settings_of_the_tokenizer_stay(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false and more")
    monkeypatch.setenv("SECRET", "a")
    assert redact.secrets("a false and more") == "a false and more"
