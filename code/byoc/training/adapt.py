"""What hyperparameters change in a loaded encoder: dropout, adapters, compilation and so on."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import warnings
from typing import Any

from torch import nn

from byoc.training.config import TrainingConfig
from byoc.training.faults import TrainingFault, reason

_DROPOUT = re.compile(r"drop(out)?(_p|_prob)?$|pdrop$|dropout_prob$")


def adapt(model: Any, config: TrainingConfig) -> Any:
    """The model to train: ``model`` itself, changed in place, or peft's model around it.

    Raises ``TrainingFault`` where the encoder, or this image, cannot do what is asked for.
    """
    if config.dropout is not None:
        set_dropout(model, config.dropout)
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
    """Raises ``TrainingFault`` where ``torch.compile`` would find no C compiler."""
    # torch.compile itself asks for $CXX; its C++ sources and triton's C need either.
    named = [shlex.split(os.environ[name])[0] for name in ("CC", "CXX") if os.environ.get(name)]
    if not any(shutil.which(name) for name in (*named, "cc", "gcc", "c++", "g++")):
        raise TrainingFault(
            "compile=true needs a C compiler, and this image has none: leave compile out, or add "
            "Debian's g++ to the image and set CC and CXX where it has another name"
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
