"""Our training against a plain Hugging Face `Trainer`: `python -m benchmarks.training [--json]`; needs the extra `bench`.

Real tokens (not padding) a second, d512 x 4 layers, on documents of the lengths of stage 3 (`stage3_lengths.json`): our
stage under Lightning, which packs them into rows as they come, and in turn `Trainer` on a causal LM with the same
weights, which takes them eight at a time in random order, padded to the longest. Both train every token of the same
documents by AdamW with clipping. Before anything is timed, the losses of both on the same documents are compared.
"""

import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterator
from typing import Any

import lightning as L
import torch
import transformers
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset
from transformers import LlamaForCausalLM, TrainingArguments

from benchmarks.language_models import causal_lm
from benchmarks.harness import command, in_turn, made_with, over, show
from benchmarks.packing import Documents, Item, stage3_mix
from benchmarks.roofline import Work
from benchmarks.sizes import llama
from common.errors import user_errors
from datamodules.packing import Packer
from lightning_modules.language import LanguageModule
from models.language.unified_lm import UnifiedLM
from models.sequence import PackedBatch, Segment, collate
from models.unified import Illume
from training.flop_counter import FlopCounter

WIDTH, LAYERS, BETWEEN, WORDS = 512, 4, 1376, 1064
AT_ONCE = 8  # documents in a padded batch: what `Trainer` takes where nothing is said
RATE, CLIP = 1e-4, 1.0
IGNORED = -100  # the label of padding


def mix() -> dict[str, Any]:
    """Stage 3's lengths, with words in place of what is seen: a plain trainer knows of nothing else."""
    found = stage3_mix()
    for task in found["tasks"]:
        task["words"] = [count + task["seen"] for count in task["words"]]
        task["seen"] = 0
    return found


class Rows(IterableDataset):
    """Packed batches, packed anew from the same documents each time that they are asked for.

    Args:
        lengths: of the documents, as in `stage3_lengths.json`.
        rows: of a batch.
        count: batches.
    """

    def __init__(self, lengths: dict[str, Any], rows: int, count: int) -> None:
        self.lengths, self.rows, self.count = lengths, rows, count

    def segments(self) -> Iterator[list[list[Segment]]]:
        """Documents by batch and row."""
        packer = Packer(Documents(self.lengths, 0), self.lengths["sequence_length"])
        for _ in range(self.count):
            rows: list[list[Item]] = [packer.row() for _ in range(self.rows)]
            yield [[item.value for item in row] for row in rows]

    def __iter__(self) -> Iterator[PackedBatch]:
        for rows in self.segments():
            places = iter(range(sum(map(len, rows))))
            layout = [[next(places) for _ in row] for row in rows]
            yield collate([s for row in rows for s in row], layout, self.lengths["sequence_length"], 0)


def our_model() -> UnifiedLM:
    """A language model with random weights."""
    torch.manual_seed(0)
    return UnifiedLM(llama(WIDTH, LAYERS, BETWEEN, 4096), WORDS, 64, 64, 36, 36)


def train_ours(model: UnifiedLM, rows: Rows) -> float:
    """Seconds that our stage takes for the rows, as Lightning's trainer runs it."""
    module = LanguageModule({"trunk": RATE, "text": RATE, "vision": RATE}, {})
    module.model = Illume(language=model)
    trainer = L.Trainer(
        accelerator="cpu",
        max_steps=rows.count,
        gradient_clip_val=CLIP,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    start = time.perf_counter()
    trainer.fit(module, DataLoader(rows, batch_size=None))
    return time.perf_counter() - start


def padded(segments: list[Segment]) -> dict[str, Tensor]:
    """Documents in a row each, as a collator of `Trainer` makes them: ids, mask and labels (B, L)."""
    longest = max(map(len, segments))
    ids = torch.zeros(len(segments), longest, dtype=torch.long)
    labels = torch.full_like(ids, IGNORED)
    for row, segment in enumerate(segments):
        ids[row, : len(segment)] = labels[row, : len(segment)] = torch.tensor(segment.ids)
    return {"input_ids": ids, "attention_mask": (labels != IGNORED).long(), "labels": labels}


def train_theirs(peer: LlamaForCausalLM, segments: list[Segment], folder: str) -> float:
    """Seconds that `Trainer` takes for one epoch of the documents."""
    settings = TrainingArguments(
        output_dir=folder,
        num_train_epochs=1,
        per_device_train_batch_size=AT_ONCE,
        learning_rate=RATE,
        max_grad_norm=CLIP,
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
    )
    trainer = transformers.Trainer(peer, settings, data_collator=padded, train_dataset=segments)
    trainer.remove_callback(transformers.PrinterCallback)
    start = time.perf_counter()
    trainer.train()
    return time.perf_counter() - start


@torch.no_grad()
def losses(model: UnifiedLM, peer: LlamaForCausalLM, rows: Rows) -> tuple[float, float]:
    """Mean loss of a token on the first batch's documents: ours, packed, and theirs, padded."""
    batch, nothing = next(iter(rows)), torch.zeros(0, 36, 64)
    ours = model.loss(batch, nothing, torch.zeros(0, 36, dtype=torch.long)).mean.item()
    total, count = 0.0, 0
    for segment in (s for row in next(rows.segments()) for s in row):
        inputs = padded([segment])
        total += peer(**inputs).loss.item() * (len(segment) - 1)
        count += len(segment) - 1
    return ours, total / count


def work(model: UnifiedLM, rows: Rows) -> Work:
    """What training on all rows takes at least: the products that are made, and the weights and what AdamW keeps of them.

    For each step the weights are read forward and backward, gradients are written and read, and AdamW reads and writes
    weights and both its means.
    """
    weights = sum(p.numel() for p in model.parameters())
    with FlopCounter() as counter:
        for batch in rows:
            model.loss(batch, torch.zeros(0, 36, 64), torch.zeros(0, 36, dtype=torch.long))
    return Work(4 * 10 * weights * rows.count, counter.operations, at_once=4 * weights)


def measure(lengths: dict[str, Any], at_once: int, count: int, rounds: int) -> dict[str, Any]:
    """Both sides in turn, after a look at what both lose on the same documents."""
    rows = Rows(lengths, at_once, count)
    model = our_model()
    peer = causal_lm(model).requires_grad_(True)
    ours, theirs = losses(model, peer, rows)
    segments = [s for batch in rows.segments() for row in batch for s in row]
    real = sum(map(len, segments))
    with tempfile.TemporaryDirectory() as folder:
        slow, fast = in_turn(
            lambda: train_theirs(peer.train(), segments, folder), lambda: train_ours(model, rows), rounds
        )
    return {
        **over([their / our for their, our in zip(slow, fast, strict=True)], "speedup", digits=2),
        "our_tokens_per_second": round(real / statistics.median(fast)),
        "their_tokens_per_second": round(real / statistics.median(slow)),
        "our_loss": ours,
        "their_loss": theirs,
        "documents": len(segments),
        "tokens": real,
        "roofline": work(model, rows).beside(statistics.median(fast)),
    }


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = command("training", __doc__)
    parser.add_argument("--batches", type=int, default=2, help="of two packed rows (default: %(default)s)")
    options = parser.parse_args(arguments)
    warnings.filterwarnings("ignore", module="lightning")
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    transformers.utils.logging.set_verbosity_error()
    with user_errors("benchmarks.training"):
        _check()
        found = measure(mix(), 2, options.batches, options.rounds)
    show(found | made_with("transformers", "lightning", "accelerate"), options.json)


def _check() -> None:
    if not transformers.utils.is_accelerate_available():
        raise ValueError("accelerate, which Trainer needs, is not installed: pip install -e '.[bench]'")


if __name__ == "__main__":
    main()
