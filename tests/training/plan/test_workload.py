"""What a micro-batch of a mixture holds on average, and at most."""

import math

from datamodules.document_datamodule import DocumentDataModule, SourceConfig
from models.unified import Illume
from tests.fixtures import make_tiny_illume
from training.plan.workload import SAMPLES, Workload, workloads

DRAW, TEXT = (SourceConfig("nowhere", template, 1.0) for template in ("draw", "text"))


def test_a_mixture_is_counted_by_its_mean_sample():
    tiny = make_tiny_illume()
    data = DocumentDataModule({"draw": DRAW, "text": TEXT}, sequences_per_batch=3, sequence_length=512)
    mean, largest = workloads(data, tiny)
    around = (
        len(tiny.language.turns.begin) + len(tiny.language.turns.assistant) + len(tiny.language.turns.end)
    )
    draw = around + len(tiny.language.turns.user) + 27 + 36 + 2
    tokens = (draw + around + 400) / 2
    assert mean.samples == 3 * 512 / tokens and mean.drawn == round(mean.samples / 2) == mean.encoded
    assert mean.codes == 36 * mean.drawn and mean.seen == 0
    most = 3 * (512 // 38)
    assert largest[:7] == (3, 512, 0, most, most, 0, 3 * 512) and math.isnan(largest.samples)


def test_a_model_without_encoder_and_tokenizer_reads_text_alone():
    tiny = make_tiny_illume()
    data = DocumentDataModule({"draw": DRAW}, sequences_per_batch=2, sequence_length=128)
    mean, largest = workloads(data, Illume(language=tiny.language, text_tokenizer=tiny.text_tokenizer))
    assert (mean.seen, mean.drawn, mean.encoded, mean.codes) == (0, 0, 0, 0)
    assert (largest.texts, largest.codes) == (256, 0)
    assert SAMPLES["draw"].for_model(Illume()).drawn == 0
    assert isinstance(mean, Workload)
