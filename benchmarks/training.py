"""Our training against a plain Hugging Face `Trainer`: `python -m benchmarks.training [--json]`; needs the extra `bench`.

Real tokens (not padding) a second, d512 x 4 layers, on documents of the lengths of stage 3 (`stage3_lengths.json`): our
stage under Lightning, which packs them into rows as they come, against `Trainer` on a causal LM with the same weights,
which takes them eight at a time in random order, padded to the longest. Both train every token of the same documents by
AdamW with clipping. Before anything is timed, the losses of both on the same documents are compared.
"""

import logging
import tempfile
import warnings
from collections.abc import Iterator
from typing import Any

import lightning as L
import torch
import transformers
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset
from transformers import LlamaForCausalLM, TrainingArguments

from benchmarks.harness import alternate, run
from benchmarks.language_models import causal_lm, llama, random_model
from benchmarks.packing import collate_rows, pack, stage3_mix
from benchmarks.roofline import Work
from lightning_modules.language import LanguageModule
from models.language.unified_lm import UnifiedLM
from models.sequence import PackedBatch, Segment
from models.unified import Illume
from training.flop_counter import FlopCounter

WIDTH, LAYERS, MLP_WIDTH, VOCABULARY = 512, 4, 1376, 1064
FEATURES, IMAGE = 64, 36
ROWS = 2  # packed into a batch of ours
DOCUMENTS = 8  # in a padded batch: the default of `Trainer`
LEARNING_RATE, CLIP = 1e-4, 1.0
IGNORED = -100  # the label of padding


def text_mix() -> dict[str, Any]:
    """Stage 3's lengths, with text in place of images, which a plain trainer does not know."""
    found = stage3_mix()
    for task in found["tasks"]:
        task["words"] = [count + task["seen"] for count in task["words"]]
        task["seen"] = 0
    return found


class PackedRows(IterableDataset):
    """Batches of packed rows, packed anew from the same documents each time that they are asked for."""

    def __init__(self, mix: dict[str, Any], count: int) -> None:
        self.mix, self.count = mix, count

    def __iter__(self) -> Iterator[PackedBatch]:
        for rows in pack(self.mix, ROWS, self.count):
            yield collate_rows(rows, self.mix["sequence_length"])


def train_ours(model: UnifiedLM, batches: PackedRows) -> None:
    """One epoch of our stage, as Lightning's trainer runs it."""
    module = LanguageModule(dict.fromkeys(("trunk", "text", "vision"), LEARNING_RATE), {})
    module.model, module.is_configured = Illume(language=model), True
    trainer = L.Trainer(
        accelerator="cpu",
        max_steps=batches.count,
        gradient_clip_val=CLIP,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(module, DataLoader(batches, batch_size=None))


def pad(segments: list[Segment]) -> dict[str, Tensor]:
    """Documents in a row each, as a collator of `Trainer` makes them: ids, mask and labels (B, L)."""
    longest = max(map(len, segments))
    ids = torch.zeros(len(segments), longest, dtype=torch.long)
    labels = torch.full_like(ids, IGNORED)
    for row, segment in enumerate(segments):
        ids[row, : len(segment)] = labels[row, : len(segment)] = torch.tensor(segment.ids)
    return {"input_ids": ids, "attention_mask": (labels != IGNORED).long(), "labels": labels}


def train_theirs(peer: LlamaForCausalLM, segments: list[Segment], folder: str) -> None:
    """One epoch of `Trainer`."""
    settings = TrainingArguments(
        output_dir=folder,
        num_train_epochs=1,
        per_device_train_batch_size=DOCUMENTS,
        learning_rate=LEARNING_RATE,
        max_grad_norm=CLIP,
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
    )
    trainer = transformers.Trainer(peer, settings, data_collator=pad, train_dataset=segments)
    trainer.remove_callback(transformers.PrinterCallback)
    trainer.train()


@torch.no_grad()
def losses(model: UnifiedLM, peer: LlamaForCausalLM, rows: list[list[Segment]]) -> tuple[float, float]:
    """Mean loss of a token on one batch's documents: ours, packed, and theirs, padded."""
    length = max(sum(map(len, row)) for row in rows)
    ours = model.loss(collate_rows(rows, length), *_no_images()).mean.item()
    total, count = 0.0, 0
    for segment in (s for row in rows for s in row):
        total += peer(**pad([segment])).loss.item() * (len(segment) - 1)
        count += len(segment) - 1
    return ours, total / count


def _no_images() -> tuple[Tensor, Tensor]:
    return torch.zeros(0, IMAGE, FEATURES), torch.zeros(0, IMAGE, dtype=torch.long)


def work(model: UnifiedLM, batches: PackedRows) -> Work:
    """What training on all rows takes at least: the products, and the weights and what AdamW keeps of them.

    For each step the weights are read forward and backward, gradients are written and read, and AdamW reads and writes
    weights and both its means.
    """
    weights = sum(p.numel() for p in model.parameters())
    with FlopCounter() as counter:
        for batch in batches:
            model.loss(batch, *_no_images())
    return Work(4 * 10 * weights * batches.count, counter.flops, working_set=4 * weights)


def compare(mix: dict[str, Any], batch_count: int, rounds: int) -> dict[str, Any]:
    """Compares both sides, their losses on the same documents first."""
    batches = PackedRows(mix, batch_count)
    trunk = llama(WIDTH, LAYERS, MLP_WIDTH, 4096)
    model = random_model(trunk, VOCABULARY, 64, FEATURES, IMAGE)
    peer = causal_lm(model).requires_grad_(True)
    packed = list(pack(mix, ROWS, batch_count))
    ours, theirs = losses(model, peer, packed[0])
    segments = [s for batch in packed for row in batch for s in row]
    real = sum(map(len, segments))
    with tempfile.TemporaryDirectory() as folder:
        pairs = alternate(
            lambda: train_theirs(peer.train(), segments, folder), lambda: train_ours(model, batches), rounds
        )
    return {
        **pairs.speedup(),
        "our_tokens_per_second": round(real / pairs.our_median),
        "their_tokens_per_second": round(real / pairs.their_median),
        "our_loss": ours,
        "their_loss": theirs,
        "documents": len(segments),
        "tokens": real,
        "roofline": work(model, batches).roofline(pairs.our_median),
    }


def measure(rounds: int = 5, batches: int = 2) -> dict[str, Any]:
    """Compares both sides on the lengths of stage 3.

    Args:
        rounds: of both sides.
        batches: of two packed rows.
    """
    warnings.filterwarnings("ignore", module="lightning")
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    transformers.utils.logging.set_verbosity_error()
    if not transformers.utils.is_accelerate_available():
        raise ValueError("accelerate, which Trainer needs, is not installed: pip install -e '.[bench]'")
    return compare(text_mix(), batches, rounds)


if __name__ == "__main__":
    run(measure, "transformers", "lightning", "accelerate")
