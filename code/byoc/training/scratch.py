"""A tiny DistilBERT with random weights, and a WordPiece vocabulary learned from the data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece
from tokenizers.trainers import WordPieceTrainer
from transformers import DistilBertConfig
from transformers.models.bert.tokenization_bert import BertTokenizer

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
VOCABULARY = 4000
POSITIONS = 512


def learn_tokenizer(texts: Sequence[str]) -> Any:
    """A lower-casing WordPiece tokenizer with BERT's special tokens, learned from ``texts``."""
    tokenizer = Tokenizer(WordPiece(unk_token="[UNK]"))  # noqa: S106
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = WordPieceTrainer(
        vocab_size=VOCABULARY, special_tokens=list(SPECIAL), show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")],
    )
    tokenizer.decoder = decoders.WordPiece()
    return BertTokenizer(tokenizer_object=tokenizer, model_max_length=POSITIONS)


def tiny_config(tokenizer: Any) -> Any:
    """DistilBERT's shape in small: 2 layers of width 128, under a million weights."""
    return DistilBertConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=POSITIONS,
        n_layers=2,
        n_heads=4,
        dim=128,
        hidden_dim=256,
        dropout=0.1,
        attention_dropout=0.1,
        seq_classif_dropout=0.1,
        # BERT's own 0.02 suits width 768; so narrow a model starts from it too slowly.
        initializer_range=0.06,
        pad_token_id=tokenizer.pad_token_id,
    )
