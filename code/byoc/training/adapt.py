"""What hyperparameters change in a loaded encoder: dropout, adapters, compilation and so on."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sysconfig
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from byoc.training.config import TrainingConfig
from byoc.training.faults import TrainingFault, reason
from byoc.training.first_tokens import only_first_tokens

_DROPOUT = re.compile(r"drop(out)?(_p|_prob)?$|pdrop$|dropout_prob$")


def adapt(model: Any, config: TrainingConfig) -> Any:
    """The model to train: ``model`` itself, changed in place, or peft's model around it.

    Raises ``TrainingFault`` where the encoder, or this image, cannot do what is asked for.
    """
    if config.dropout is not None:
        set_dropout(model, config.dropout)
    only_first_tokens(model)
    if config.gradient_checkpointing:
        _checkpoint_gradients(model)
    if config.lora_rank:
        model = _with_adapters(model, config)
    if config.compile:
        require_compiler()
        # In place: names of weights, and so what is saved, stay as they are.
        model.compile(dynamic=True)
    return model


def plain(model: Any, config: TrainingConfig) -> Any:
    """The model to save: adapters merged into the weights that they adapt, for good."""
    return model.merge_and_unload() if config.lora_rank else model


def set_dropout(model: Any, probability: float) -> None:
    """Every dropout of ``model``, and of its configuration, that is not a layer's own zero."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = probability
        for name, value in vars(module).items():
            if _DROPOUT.search(name) and isinstance(value, float):
                setattr(module, name, probability)
    for name, value in model.config.to_dict().items():
        if _DROPOUT.search(name) and isinstance(value, float | int):
            setattr(model.config, name, probability)


def require_compiler() -> None:
    """Raises ``TrainingFault`` where ``torch.compile`` lacks what it compiles with."""
    # torch.compile writes C++ on CPUs, triton C on GPUs; both look into $CC and $CXX first.
    named = [shlex.split(os.environ[name])[0] for name in ("CC", "CXX") if os.environ.get(name)]
    needs = {
        "a C compiler": any(map(shutil.which, (*named, "cc", "gcc", "c++", "g++"))),
        "Python's headers": Path(sysconfig.get_path("include"), "Python.h").is_file(),
        "torch's headers": torch.cuda.is_available()
        or Path(torch.__file__).with_name("include").is_dir(),
    }
    missing = [name for name, is_there in needs.items() if not is_there]
    if missing:
        raise TrainingFault(
            f"compile=true needs what is not here: {', '.join(missing)}; leave compile "
            "out, or build the image with COMPILER=true docker/images.sh training"
        )


def _checkpoint_gradients(model: Any) -> None:
    try:
        model.activation_checkpointing_enable({"use_reentrant": False})
    except ValueError as error:
        raise TrainingFault(
            f"gradient-checkpointing=true: {type(model).__name__} cannot do it ({reason(error)})"
        ) from error


def _with_adapters(model: Any, config: TrainingConfig) -> Any:
    """Low-rank adapters beside each linear layer of the encoder; the head is trained whole."""
    # Here and not above: peft takes about a second to import.
    from peft import LoraConfig, get_peft_model

    encoder = model.base_model_prefix
    linear = [
        name
        for name, module in model.named_modules()
        if name.startswith(f"{encoder}.") and isinstance(module, nn.Linear)
    ]
    head = [
        name
        for name, child in model.named_children()
        if name != encoder and any(True for _ in child.parameters())
    ]
    if not linear:
        raise TrainingFault(
            f"lora-rank={config.lora_rank}: {type(model).__name__} has no linear layer to adapt"
        )
    adapters = LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,  # type: ignore[arg-type]  # any number is fine
        target_modules=linear,
        modules_to_save=head,
    )
    with warnings.catch_warnings():
        # It asks transformers by a name that is on its way out.
        warnings.simplefilter("ignore", FutureWarning)
        return get_peft_model(model, adapters)
