"""Token ids to batches: of similar lengths, padded to the longest of each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytorch_lightning as lightning
import torch
from torch.utils.data import DataLoader, Dataset

from byoc.training.config import TrainingConfig
from byoc.training.graphs import MULTIPLE
from byoc.training.tokens import Tokens

Batch = dict[str, Any]
"""``input_ids``, ``attention_mask`` and, for sentence pairs, ``token_type_ids`` [rows, longest];
``labels`` [rows], -100 where a row stands in for none; ``rows``: real rows of the whole optimizer
step, over all its micro-batches and processes."""

Rows = npt.NDArray[np.int64]

POOL = 100
"""Batches at most in a pool sorted by length. On CoLA, BERT's tokenizer, batch 32: real tokens
over computed tokens, and how often two rows of a batch meet again in the next epoch (at random:
0.4%): pools of 50: 0.963, 4.3%; of 100: 0.978, 5.4%; one pool of all rows: 0.994, 7.2%.
"""
IGNORED = -100
"""The label that torch's cross entropy leaves out."""


def global_batches(
    lengths: npt.NDArray[np.int32], batch_size: int, seed: int, epoch: int
) -> list[Rows]:
    """The rows of each optimizer step of an epoch: similar lengths in a random order.

    All rows are shuffled and cut into equal pools of at most ``POOL`` batches; each pool is sorted
    by length, rows of equal length staying shuffled, and cut into batches; then the batches of all
    pools are shuffled. Only one batch may be smaller than ``batch_size``; within each, rows go from
    short to long.
    """
    random = np.random.default_rng((seed, epoch))
    order = random.permutation(len(lengths))
    count = -(-len(order) // batch_size)
    pool_size = -(-count // -(-count // POOL)) * batch_size
    batches: list[Rows] = []
    for start in range(0, len(order), pool_size):
        pool = order[start : start + pool_size]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += [pool[first : first + batch_size] for first in range(0, len(pool), batch_size)]
    return [batches[number] for number in random.permutation(count)]


@dataclass(frozen=True)
class Share:
    """The rows of one micro-batch of one process; ``total``: rows of the whole optimizer step."""

    rows: Rows
    total: int


def shares(batches: Sequence[Rows], rank: int, world: int, micro_batches: int) -> Iterator[Share]:
    """What process ``rank`` of ``world`` computes, ``micro_batches`` to each optimizer step.

    Every cut takes rows at equal distances of the sorted batch, so that all have about the same
    padding. A share may be empty.
    """
    for batch in batches:
        for micro_batch in range(micro_batches):
            start = rank * micro_batches + micro_batch
            yield Share(batch[start :: world * micro_batches], len(batch))


class Batches(Dataset[Batch]):
    """Shares to batches, padded to a ``multiple`` (a class, so that loader processes can receive
    it); not beyond the longest row of all, which is as much as the model surely takes."""

    def __init__(self, tokens: Tokens, pad_token_id: int, multiple: int = 1) -> None:
        self._tokens = tokens
        self._pad = pad_token_id
        self._multiple = multiple
        self._longest = int(tokens.lengths.max(initial=0)) if multiple > 1 else 0

    def __getitem__(self, share: Share) -> Batch:
        # The collective operations of a step want every process: one without rows has a row that
        # counts for nothing.
        rows = share.rows if len(share.rows) else np.zeros(1, np.int64)
        lengths = self._tokens.lengths[rows]
        width = -(-int(lengths.max()) // self._multiple) * self._multiple
        width = max(min(width, self._longest), int(lengths.max()))
        mask = (np.arange(width) < lengths[:, None]).astype(np.int64)
        batch = {
            "input_ids": torch.from_numpy(self._padded(self._tokens.ids, rows, width, self._pad)),
            "attention_mask": torch.from_numpy(mask),
            "labels": torch.from_numpy(
                self._tokens.labels[rows] if len(share.rows) else np.full(1, IGNORED)
            ),
            "rows": share.total,
        }
        if self._tokens.has_types:
            types = self._padded(self._tokens.types, rows, width, 0)
            batch["token_type_ids"] = torch.from_numpy(types)
        return batch

    def _padded(self, values: Callable[[int], Any], rows: Rows, width: int, pad: int) -> Rows:
        """[rows, width]"""
        lengths = self._tokens.lengths[rows].tolist()
        padded = np.full((len(rows), width), pad, np.int64)
        for line, row, length in zip(padded, rows.tolist(), lengths, strict=True):
            line[:length] = values(row)
        return padded


class TextData(lightning.LightningDataModule):
    """The splits of a job as batches, as process ``rank`` of ``world`` sees them."""

    def __init__(
        self,
        tokens: dict[str, Tokens],
        pad_token_id: int,
        config: TrainingConfig,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        super().__init__()
        self.tokens = tokens
        self.start = (0, 0)
        """(epoch, optimizer steps of it) that are already done."""
        self._pad = pad_token_id
        self._config = config
        self._rank, self._world = rank, world

    def steps_per_epoch(self) -> int:
        """Optimizer steps."""
        return -(-len(self.tokens["train"]) // self._config.batch_size)

    def train_dataloader(self) -> DataLoader[Batch]:
        """The trainer's current epoch, without the steps that are done.

        The order is a pure function of seed and epoch: `reload_dataloaders_every_n_epochs=1`.
        """
        epoch = self.trainer.current_epoch if self.trainer else self.start[0]
        batches = global_batches(
            self.tokens["train"].lengths, self._config.batch_size, self._config.seed, epoch
        )
        if epoch == self.start[0]:
            batches = batches[self.start[1] :]
        micro_batches = self._config.gradient_accumulation_steps
        return self._loader("train", list(shares(batches, self._rank, self._world, micro_batches)))

    def val_dataloader(self) -> DataLoader[Batch]:
        return self.ordered("validation")

    def transfer_batch_to_device(self, batch: Batch, device: Any, dataloader_idx: int) -> Batch:  # noqa: ARG002
        """Lightning's own looks into values of all kinds, which takes as long as the copies."""
        return {
            name: value.to(device, non_blocking=True) if torch.is_tensor(value) else value
            for name, value in batch.items()
        }

    def ordered(self, split: str) -> DataLoader[Batch]:
        """This process's share of a split by length, longest first: the least padding, and out of
        memory at once or never.

        ``order(split)`` gives the rows' places. Every process has as many batches, as DDP wants.
        """
        order, size = self.order(split), self._config.batch_size
        longest_share = -(-len(self.tokens[split]) // self._world)
        rows = [order[first : first + size] for first in range(0, longest_share, size)]
        return self._loader(split, [Share(batch, len(batch)) for batch in rows])

    def order(self, split: str) -> Rows:
        """Rows by length, longest first; of them this process's share."""
        lengths = self.tokens[split].lengths
        return np.argsort(-lengths, kind="stable")[self._rank :: self._world]

    def _loader(self, split: str, found: list[Share]) -> DataLoader[Batch]:
        on_gpu = torch.cuda.is_available()
        return DataLoader(
            Batches(self.tokens[split], self._pad, MULTIPLE if on_gpu else 1),
            sampler=found,  # a share is this data set's index
            batch_size=None,
            num_workers=self._config.num_workers,
            pin_memory=on_gpu,
        )
