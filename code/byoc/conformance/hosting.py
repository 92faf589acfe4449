"""What a serving image is tried with: a model, requests, and what is known of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Message:
    """A request's body and its headers."""

    body: bytes
    content_type: str = "application/json"
    accept: str = ""

    @property
    def headers(self) -> dict[str, str]:
        found = {"Content-Type": self.content_type}
        return found | ({"Accept": self.accept} if self.accept else {})


@dataclass(frozen=True)
class Hosting:
    """Without anything: what can be tried on a stranger's image."""

    model: Path | None = None
    """A folder to mount at /opt/ml/model; without any, nothing is mounted."""
    make_model: str = ""
    """Instead of it: a Python program that, run inside the image, writes one to its argument."""
    message: Message = Message(b"{}")
    """A request that must get 200, unless it is a guess."""
    is_a_guess: bool = False
    """Nobody said what a good request is: any answer but a 5xx will do."""
    bad: Sequence[tuple[Message, int]] = ()
    """Requests with the status that each must get."""
    lines: Sequence[Message] = ()
    """Batch transform's: lines, of which any may be bad."""
    takes_scripts: bool = False
    """A model may be nothing but code/inference.py (H15): most clauses need its slow answers."""
    largest: int = 6_291_456
    """Bytes that a body may have."""
    forbidden: Sequence[str] = ("Traceback", "site-packages", "/opt/", "/usr/", ".py")
    """What no reply may hold."""

    @property
    def has_model(self) -> bool:
        return self.model is not None or bool(self.make_model)

    def takes(self, status: int) -> bool:
        """Whether ``message`` may get this status."""
        return 200 <= status < 500 if self.is_a_guess else status == 200


_TINY = """
import sys, torch
from pathlib import Path
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import DistilBertConfig, DistilBertForSequenceClassification
from transformers import PreTrainedTokenizerFast

words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "the", "dog", "cat", "sees", "sleeps"]
torch.manual_seed(0)
names = {0: "unacceptable", 1: "acceptable"}
config = DistilBertConfig(
    vocab_size=len(words), dim=32, hidden_dim=64, n_layers=2, n_heads=2,
    max_position_embeddings=64, initializer_range=0.5, id2label=names,
    label2id={name: number for number, name in names.items()},
)
DistilBertForSequenceClassification(config).save_pretrained(sys.argv[1])
backend = Tokenizer(models.WordPiece({word: n for n, word in enumerate(words)}, unk_token="[UNK]"))
backend.normalizer = normalizers.BertNormalizer()
backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
backend.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
PreTrainedTokenizerFast(
    tokenizer_object=backend, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
    sep_token="[SEP]", mask_token="[MASK]",
).save_pretrained(sys.argv[1])
for path in Path(sys.argv[1]).iterdir():
    path.chmod(0o644)
"""

_JSON_LINES = "application/jsonlines"


def ours() -> Hosting:
    """What our own serving image is tried with: a tiny DistilBERT, made inside the image."""
    return Hosting(
        make_model=_TINY,
        message=Message(json.dumps({"inputs": ["the dog sleeps", "a cat"]}).encode()),
        bad=(
            (Message(b"{"), 400),
            (Message(b'{"inputs": [1]}'), 400),
            (Message(b"\xff\xfe"), 400),
            (Message(b"\x93NUMPY", "application/x-npy"), 415),
            (Message(b'{"inputs": "a"}', accept="image/png"), 406),
        ),
        lines=(
            Message(b'a dog\n"a cat\nthe dog\n', "text/csv"),
            Message(b'"a dog"\n{\n"the dog"\n', _JSON_LINES),
        ),
        takes_scripts=True,
    )
