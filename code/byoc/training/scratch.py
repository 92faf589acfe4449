"""A tiny DistilBERT with random weights, and a WordPiece vocabulary learned from the data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import chain
from typing import Any

from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
VOCABULARY = 8000
POSITIONS = 512
_LONGEST_PART = 6
_LONGEST_ENDING = 3


def learn_tokenizer(texts: Iterable[str]) -> Any:
    """A lower-casing WordPiece tokenizer with BERT's special tokens, learned from ``texts``.

    The texts are read once, and only their words are counted, not held.
    """
    from transformers.models.bert.tokenization_bert import BertTokenizer

    normalizer = normalizers.BertNormalizer(lowercase=True)
    splitter = pre_tokenizers.BertPreTokenizer()
    # What stands between two spaces is taken apart once, however often it occurs: the same words in
    # a small part of the time.
    chunks = Counter(chain.from_iterable(text.split(" ") for text in texts))
    words: Counter[str] = Counter()
    for chunk, count in chunks.items():
        for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(chunk)):
            words[word] += count
    vocabulary = {piece: number for number, piece in enumerate(_vocabulary(words))}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token="[UNK]"))  # noqa: S106
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = splitter
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")],
    )
    tokenizer.decoder = decoders.WordPiece()
    return BertTokenizer(
        tokenizer_object=tokenizer,
        model_max_length=POSITIONS,
        model_input_names=["input_ids", "attention_mask"],  # DistilBERT has no token types
    )


def _vocabulary(words: Counter[str]) -> list[str]:
    """Special tokens, all characters, word parts by how many words share them, words by frequency.

    `tokenizers`' own trainer breaks ties by the order of a hash map, so that the same texts give
    another vocabulary, and the same seed another model, in every run; here ties go by spelling.
    """
    letters = {letter for word in words for letter in word}
    parts: Counter[str] = Counter()
    for word in words:
        for cut in range(1, len(word)):
            if len(word) - cut <= _LONGEST_PART:
                parts["##" + word[cut:]] += 1
            if cut > 1:
                parts[word[:cut]] += 1
    shared = [part for part in _ranked(parts) if parts[part] > 2]
    endings = {part for part in shared if part.startswith("##")}
    # keys is key and ##s: a plural's ending tells of its number, whichever the noun.
    whole = [word for word in _ranked(words) if not _is_inflected(word, words, endings)]
    pieces = [
        *SPECIAL,
        *sorted(letters),
        *("##" + letter for letter in sorted(letters)),
        *shared[: VOCABULARY // 4],
        *whole,
    ]
    return list(dict.fromkeys(pieces))[:VOCABULARY]


def _is_inflected(word: str, words: Counter[str], endings: set[str]) -> bool:
    """True for another word of the data with an ending that many words have."""
    return any(
        word[:cut] in words and "##" + word[cut:] in endings
        for cut in range(max(3, len(word) - _LONGEST_ENDING), len(word))
    )


def _ranked(counts: Counter[str]) -> list[str]:
    return sorted(counts, key=lambda piece: (-counts[piece], piece))


def tiny_model(tokenizer: Any, labels: dict[str, Any]) -> Any:
    """DistilBERT in small, with random weights: 2 layers of width 128.

    ``labels``: the configuration's fields that name the classes.
    """
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    shape = DistilBertConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=POSITIONS,
        n_layers=2,
        n_heads=4,
        dim=128,
        hidden_dim=256,
        # Dropout keeps so small a model from finding rules at all; early stopping is its guard.
        dropout=0.0,
        attention_dropout=0.0,
        seq_classif_dropout=0.1,
        # BERT's own 0.02 suits width 768; so narrow a model starts from it too slowly.
        initializer_range=0.06,
        pad_token_id=tokenizer.pad_token_id,
        **labels,
    )
    return DistilBertForSequenceClassification(shape)
