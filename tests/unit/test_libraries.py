"""What is imported before the first step, and what is not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from byoc import contract
from byoc.bench.training_start import FIRST_STEP
from byoc.training.libraries import HIDDEN
from ml_tree import lay_out

NEEDLESS = {*HIDDEN, "pandas", "datasets", "peft", "sklearn", "smdebug"}

TOLD = f"""
import os, sys
end = os._exit
def told(code):
    print("needless:", sorted({NEEDLESS} & set(sys.modules)), flush=True)
    end(code)
os._exit = told
"""


def test_a_job_comes_to_its_first_step_without_what_no_step_needs(tmp_path: Path) -> None:
    """The very program that the benchmark times: `train` to its first step."""
    lay_out(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", TOLD + FIRST_STEP],
        env={**os.environ, contract.BASE_DIR_VARIABLE: str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.splitlines()[-2:] == ["first step", "needless: []"], done.stderr


def test_what_was_hidden_while_libraries_were_imported_is_there_afterwards() -> None:
    program = (
        "import gc\n"
        "from byoc.training import libraries\n"
        "with libraries.importing():\n"
        "    import transformers, pytorch_lightning\n"
        "    assert not gc.isenabled()\n"
        "assert gc.isenabled()\n"
        "import matplotlib, scipy, PIL, rich\n"
        "from lightning_utilities.core.imports import RequirementCache\n"
        "print(bool(RequirementCache('scipy')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "True\n", done.stderr


def test_training_starts_in_an_image_that_holds_torchvision(tmp_path: Path) -> None:
    """torchmetrics imports it where it is installed, and it imports PIL, which is hidden."""
    package, metadata = tmp_path / "torchvision", tmp_path / "torchvision-0.29.1.dist-info"
    package.mkdir()
    metadata.mkdir()
    package.joinpath("__init__.py").write_text("from PIL import Image\n")
    metadata.joinpath("METADATA").write_text(
        "Metadata-Version: 2.1\nName: torchvision\nVersion: 0.29.1\n"
    )
    program = (
        "from byoc.training import libraries\n"
        "with libraries.importing():\n"
        "    import transformers, pytorch_lightning\n"
        "import torchvision\n"
        "print('both')"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment
    )
    assert done.stdout == "both\n", done.stderr
