"""The data pipeline against a bare loop: `python -m benchmarks.data [--json]`.

Samples per second of the whole pipeline (shards, mixture, checks, decoding, packing) against a bare WebDataset loop that
only reads, decodes and resizes with PIL, on the same shards; how full packed rows are on the lengths of stage 3
(`stage3_lengths.json`); how long a run that stopped 1,000 shards in takes to its first batch; and the memory of a process
that reads from shards of 1 GiB.
"""

import io
import random
import resource
import tarfile
import tempfile
import time
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
import webdataset as wds
from PIL import Image

from benchmarks.harness import alternate, run
from benchmarks.packing import pack, stage3_mix
from datamodules.packing import PackedReader
from datamodules.source_stream import OPEN_SHARDS, Source
from datamodules.stream import MixedStream
from datamodules.templates import TEMPLATES, TemplateRequest

SIDE = 224


def make_shards(folder: Path, shards: int, samples: int, side: int) -> list[str]:
    """Shards of JPEGs of a photograph's size and captions, from a seed."""
    rng = np.random.default_rng(0)
    paths = [str(folder / f"{number:05d}.tar") for number in range(shards)]
    for number, path in enumerate(paths):
        with wds.TarWriter(path) as tar:
            for i in range(samples):
                rough = Image.fromarray(rng.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8))
                buffer = io.BytesIO()
                rough.resize((side, side), Image.Resampling.BICUBIC).save(buffer, "jpeg", quality=90)
                sample = {"jpg": buffer.getvalue(), "txt": f"picture {i}"}
                tar.write({"__key__": f"{number:05d}{i:05d}", **sample})
    return paths


def bare(shards: list[str], seconds: float) -> float:
    """Seconds a sample of a loop that only reads, decodes and resizes."""
    count, start = 0, time.perf_counter()
    while True:
        for sample in wds.WebDataset(shards, shardshuffle=False):
            image = Image.open(io.BytesIO(sample["jpg"])).convert("RGB")
            pixels = np.array(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
            torch.from_numpy(pixels).permute(2, 0, 1).contiguous()
            sample["txt"].decode()
            count += 1
            if time.perf_counter() - start > seconds:
                return (time.perf_counter() - start) / count


def _document(sample: dict[str, Any], rng: random.Random) -> list[Any]:
    """A document that takes as many tokens as its caption has letters, and 258 for its image."""
    document = TEMPLATES["draw"](TemplateRequest(sample, SIDE, rng, 0.1))
    return [document] * (258 + len(document[0].text))


def packer_of(shards: Sequence[str]) -> PackedReader:
    """Packs documents of the shards into rows."""
    return PackedReader(MixedStream({"pairs": Source(list(shards), 1.0, _document)}, 0), 4096)


def pipeline(shards: list[str], seconds: float) -> float:
    """Seconds a sample through the stream, the checks and the packer."""
    packer = packer_of(shards)
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        count += len(packer.row())
    return (time.perf_counter() - start) / count


def throughput(rounds: int, seconds: float) -> dict[str, Any]:
    """Compares both on the same shards."""
    with tempfile.TemporaryDirectory() as folder:
        shards = make_shards(Path(folder), 4, 500, 256)
        bare(shards, 1), pipeline(shards, 1)
        pairs = alternate(
            lambda: bare(shards, seconds), lambda: pipeline(shards, seconds), rounds, lambda side: side()
        )
    return {
        "bare_samples_per_second": round(1 / pairs.their_median, 1),
        "pipeline_samples_per_second": round(1 / pairs.our_median, 1),
        **pairs.speedup("pipeline_over_bare", digits=3),
    }


def packing(rows: int = 2000) -> dict[str, Any]:
    """Real tokens over all, in rows of the length that the mix of stage 3 names."""
    mix = stage3_mix()
    length = mix["sequence_length"]
    tokens = sum(len(segment) for (row,) in pack(mix, 1, rows) for segment in row)
    return {"packed": round(tokens / rows / length, 4), "sequence_length": length}


def resume(shards: int = 1000, samples: int = 20) -> dict[str, Any]:
    """Seconds to the first row of a stream that stopped after so many shards."""
    with tempfile.TemporaryDirectory() as folder:
        paths = make_shards(Path(folder), shards + 50, samples, 64)
        packer = packer_of(paths)
        while packer.stream.streams["pairs"].position["next"] < shards:
            packer.row()
        state = packer.state_dict()
        start = time.perf_counter()
        resumed = packer_of(paths)
        resumed.load_state_dict(state)
        first = resumed.row()
        seconds = time.perf_counter() - start
        assert [item.address for item in first] == [item.address for item in packer.row()]
    return {"resume_seconds": round(seconds, 3), "shards_in": shards}


def memory(size: int = 2**30, rows: int = 100) -> dict[str, Any]:
    """MiB that a process of its own takes at most while it packs rows out of large shards, beside what imports take."""
    with tempfile.TemporaryDirectory() as folder:
        image = make_shards(Path(folder), 1, 1, 512)[0]
        with tarfile.open(image) as tar:
            content = tar.extractfile(next(m for m in tar if m.name.endswith("jpg"))).read()
        shards = [str(Path(folder) / f"large-{number}.tar") for number in range(OPEN_SHARDS)]
        for shard in shards:
            with wds.TarWriter(shard) as tar:
                for i in range(size // (len(content) + 3 * 512)):
                    tar.write({"__key__": f"{i:07d}", "jpg": content, "txt": f"picture {i}"})
        with get_context("spawn").Pool(1) as pool:
            before, after = pool.apply(_peaks, (shards, rows))
    return {"worker_mib": round(after), "of_which_imports_mib": round(before), "shard_mib": size >> 20}


def _peaks(shards: list[str], rows: int) -> tuple[float, float]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    packer = packer_of(shards)
    for _ in range(rows):
        packer.row()
    return before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(rounds: int = 5, seconds: float = 5.0) -> dict[str, Any]:
    """Measures all four.

    Args:
        rounds: of both sides.
        seconds: of each measurement of speed.
    """
    torch.set_num_threads(1)
    return throughput(rounds, seconds) | packing() | resume() | memory()


if __name__ == "__main__":
    run(measure, "webdataset", "pillow")
