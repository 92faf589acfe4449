"""Every way to compute an encoder against the encoder as Hugging Face built it."""

from __future__ import annotations

import random
from typing import Any

import pytest

from byoc.serving.batching import Row

ROWS = 24
LONGEST = 40
VOCABULARY = 100
SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "max_position_embeddings": 64,
    "num_labels": 3,
    "pad_token_id": 1,
    "initializer_range": 0.2,  # larger than usual: rows must differ in their scores
}
DISTILBERT: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "dim": 64,
    "n_layers": 3,
    "n_heads": 4,
    "hidden_dim": 128,
    "max_position_embeddings": 64,
    "num_labels": 3,
    "pad_token_id": 1,
    "initializer_range": 0.2,
}
PACKED = {
    "distilbert": {},
    "bert": {},
    "bert-relu": {"hidden_act": "relu"},
    "bert-silu": {"hidden_act": "silu"},
    "bert-gelu_new": {"hidden_act": "gelu_new"},
    "roberta": {},
    "xlm-roberta": {},
    "camembert": {},
    "electra": {"embedding_size": 32},
}
PADDED = {"albert": {"embedding_size": 32}, "mpnet": {}}


def made(kind: str, more: dict[str, Any]) -> Any:
    """An encoder of this kind with the same random weights each time."""
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    torch.manual_seed(0)
    name = kind.split("-")[0] if kind.startswith("bert-") else kind
    config = AutoConfig.for_model(name, **((DISTILBERT if name == "distilbert" else SHAPE) | more))
    return AutoModelForSequenceClassification.from_config(config).eval()


def rows(has_types: bool) -> list[Row]:
    chosen = random.Random(0)
    found = []
    for _ in range(ROWS):
        length = chosen.randint(1, LONGEST)
        ids = [chosen.randrange(2, VOCABULARY) for _ in range(length)]
        found.append(Row(ids, [int(has_types and place > 5) for place in range(length)]))
    return sorted(found, key=len)


def direct(model: Any, rows: list[Row], has_types: bool) -> list[list[float]]:
    """One row at a time, by the model's own forward."""
    import torch

    found = []
    with torch.inference_mode():
        for row in rows:
            types = {"token_type_ids": torch.tensor([list(row.types)])} if has_types else {}
            logits = model(torch.tensor([list(row.ids)]), **types).logits
            found.append(logits.softmax(-1)[0].tolist())
    return found


def compare(kind: str, more: dict[str, Any], precision: str, told: str, within: float) -> None:
    from byoc.serving.engine import engine_of

    model = made(kind, more)
    has_types = kind.startswith(("bert", "electra", "albert"))
    given = rows(has_types)
    expected = direct(model, given, has_types)
    engine = engine_of(model, precision)
    assert engine.told.startswith(told)
    found = engine.compute(given, 1)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine == pytest.approx(theirs, abs=within)
    assert len({round(row[0], 3) for row in expected}) > ROWS / 2, "rows that all score alike"


@pytest.mark.parametrize("kind", PACKED)
def test_packed_is_what_the_model_says(kind: str) -> None:
    compare(kind, PACKED[kind], "fp32", "fp32, packed", 1e-5)


@pytest.mark.parametrize("kind", PADDED)
def test_other_encoders_run_as_they_were_built(kind: str) -> None:
    compare(kind, PADDED[kind], "auto", "float32, padded", 1e-5)


@pytest.mark.parametrize("kind", ["distilbert", "bert", "bert-silu"])
@pytest.mark.parametrize("precision", ["int8", "bf16"])
def test_lower_precisions_are_near(kind: str, precision: str) -> None:
    from byoc.serving.linears import has_int8

    if precision == "int8" and not has_int8():
        pytest.skip("this CPU does not multiply bytes (VNNI)")
    compare(kind, PACKED[kind], precision, f"{precision}, packed", 0.05)


@pytest.mark.parametrize("kind", ["distilbert", "bert", "bert-gelu_new", "bert-relu", "roberta"])
def test_kernels_compute_what_torch_does(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sequences longer than their attention is made for among them, and one alone."""
    from byoc.serving import fused
    from byoc.serving.engine import engine_of

    kernels = _kernels()
    more = PACKED[kind] | {"max_position_embeddings": 300}
    chosen, given = random.Random(1), rows(has_types=False)
    for length in (63, 64, 65, 65, 200):
        given.append(Row([chosen.randrange(2, VOCABULARY) for _ in range(length)], [0] * length))
    monkeypatch.setattr(fused, "library", lambda: None)
    plain = engine_of(made(kind, more), "int8")
    monkeypatch.setattr(fused, "library", lambda: kernels)
    ours = engine_of(made(kind, more), "int8")
    assert (plain.told, ours.told) == ("int8, packed", "int8, packed, fused")
    expected = plain.compute(given, 1)
    for threads in (1, 2):
        found = ours.compute(given, threads)
        for mine, theirs in zip(found, expected, strict=True):
            # A value halfway between two steps may be rounded to either.
            assert mine == pytest.approx(theirs, abs=0.01)
    assert ours.compute(given[3:4], 1)[0] == pytest.approx(expected[3], abs=0.01)


@pytest.mark.parametrize(
    ("kind", "more", "cause"),
    [
        ("bert-silu", {"hidden_act": "silu"}, "no kernel for silu"),
        ("bert", {"num_attention_heads": 8}, "no kernel for heads of 8"),
    ],
)
def test_what_has_no_kernel_is_computed_by_torch(
    kind: str, more: dict[str, Any], cause: str, caplog: pytest.LogCaptureFixture
) -> None:
    from byoc.serving.engine import engine_of

    _kernels()
    with caplog.at_level("INFO"):
        assert engine_of(made(kind, more), "int8").told == "int8, packed"
    assert cause in caplog.text


def _kernels() -> Any:
    from byoc.serving import fused
    from byoc.serving.linears import has_int8

    if not has_int8():
        pytest.skip("this CPU does not multiply bytes (VNNI)")
    kernels = fused.library()
    if kernels is None:
        pytest.skip("installed without a C compiler: no compiled kernels")
    return kernels


def test_int8_scores_do_not_depend_on_company() -> None:
    from byoc.serving.engine import engine_of
    from byoc.serving.linears import has_int8

    if not has_int8():
        pytest.skip("this CPU does not multiply bytes (VNNI)")
    compute = engine_of(made("bert", {}), "int8").compute
    given = rows(has_types=True)
    together = compute(given, 1)
    for row, scores in zip(given, together, strict=True):
        assert compute([row], 1)[0] == pytest.approx(scores, abs=1e-5)


def test_a_few_large_inputs_do_not_take_all_steps_of_int8() -> None:
    """As encoders have them: some channels thirty times as large as the rest."""
    import torch

    from byoc.serving.linears import Int8Linear, WatchedLinear, has_int8

    if not has_int8():
        pytest.skip("this CPU does not multiply bytes (VNNI)")
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(64, 96, generator=generator)
    x[:, ::24] *= 30
    weight, bias = torch.randn(32, 96, generator=generator) / 10, torch.randn(32)
    for lowest, given in ((0.0, x.relu()), (None, x)):
        watched = WatchedLinear(weight, bias)
        exact = watched(given)
        plain = (Int8Linear(weight, bias, lowest)(given) - exact).abs().mean()
        evened = (Int8Linear(weight, bias, lowest, watched.reach)(given) - exact).abs().mean()
        assert evened < plain / 1.5, lowest
    silent = Int8Linear(weight, bias, None, torch.zeros(96))(x)
    assert (silent - exact).abs().mean() < 0.3, "a channel that was silent may speak up"


def test_auto_takes_the_fastest_that_the_cpu_has(monkeypatch: pytest.MonkeyPatch) -> None:
    from byoc.serving import engine, fused

    kernels = fused.library()
    monkeypatch.setattr(engine, "LEAST", 0)
    for has_bf16, has_int8, has_kernels, told in (
        (True, True, True, "int8, packed, fused"),
        (False, True, True, "int8, packed, fused"),
        (True, True, False, "bf16, packed"),
        (False, True, False, "int8, packed"),
        (True, False, True, "bf16, packed"),
        (False, False, True, "fp32, packed"),
    ):
        if told.startswith("int8") and not engine.has_int8():
            continue
        if told.endswith("fused") and kernels is None:
            continue
        with monkeypatch.context() as patch:
            patch.setattr(fused, "library", lambda has=has_kernels: kernels if has else None)
            patch.setattr(engine, "has_bf16", lambda has=has_bf16: has)
            patch.setattr(engine, "has_int8", lambda has=has_int8: has)
            assert engine.engine_of(made("bert", {})).told == told


@pytest.mark.parametrize(
    ("precision", "kind", "cause"), [("fp16", "bert", "for GPUs"), ("int8", "albert", "albert")]
)
def test_a_precision_that_cannot_be_is_refused(precision: str, kind: str, cause: str) -> None:
    from byoc.serving.engine import WrongPrecision, engine_of

    with pytest.raises(WrongPrecision, match=f"(?i)BYOC_PRECISION={precision}.*({cause}|VNNI)"):
        engine_of(made(kind, PADDED.get(kind, {})), precision)


@pytest.mark.parametrize(
    ("flags", "has"),
    [
        ("fpu avx2 avx512f avx512_vnni", True),
        ("fpu avx2 avx_vnni", True),
        ("fpu avx2 avx512f", False),
    ],
)
def test_int8_is_for_cpus_that_multiply_bytes(tmp_path: Any, flags: str, has: bool) -> None:
    from byoc.serving.linears import has_int8

    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\nflags\t\t: {flags}\n")
    assert has_int8(path) is has
    assert not has_int8(tmp_path / "none")
