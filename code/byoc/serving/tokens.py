"""Texts to the rows of numbers that a model takes, from many threads at once."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from byoc.serving.batching import Row

CHARACTERS_PER_TOKEN = 256
"""More than the average token has in any text, so that cutting there loses none of max_length."""


class Tokenizer:
    """A Hugging Face tokenizer, called at its core: its own call is slow and not for threads.

    One without such a core (in Python, not in Rust) is called as it is, by one thread at a time.
    """

    def __init__(self, tokenizer: Any, max_length: int) -> None:
        self._tokenizer, self._max_length = tokenizer, max_length
        self._lock = threading.Lock()
        self._core = getattr(tokenizer, "backend_tokenizer", None)
        if self._core is not None:
            self._core.no_padding()
            self._core.enable_truncation(
                max_length, strategy="longest_first", direction=tokenizer.truncation_side
            )

    def rows(self, texts: Sequence[str], pairs: Sequence[str | None] = ()) -> list[Row]:
        """One row for each text with its pair, where it has one; at most max_length tokens."""
        inputs: list[Any] = [self._shortened(text) for text in texts]
        for place, pair in enumerate(pairs):
            if pair is not None:
                inputs[place] = (inputs[place], self._shortened(pair))
        if self._core is None:
            return [self._slow_row(entry) for entry in inputs]
        if len(inputs) == 1:
            text, pair = inputs[0] if isinstance(inputs[0], tuple) else (inputs[0], None)
            found = [self._core.encode(text, pair)]
        else:
            found = self._core.encode_batch(inputs)
        return [Row(row.ids, row.type_ids) for row in found]

    def _shortened(self, text: str) -> str:
        """Without the end that truncation drops anyway: tokenizing 6 MB takes half a minute."""
        return text[: self._max_length * CHARACTERS_PER_TOKEN]

    def _slow_row(self, entry: Any) -> Row:
        texts = entry if isinstance(entry, tuple) else (entry,)
        with self._lock:
            found = self._tokenizer(*texts, truncation=True, max_length=self._max_length)
        ids = found["input_ids"]
        return Row(ids, found.get("token_type_ids") or [0] * len(ids))
