"""The data side against the bare minimum: `python -m benchmarks.data [--json]`.

Samples per second of the whole pipeline (shards, mixture, checks, decoding, packing) against a bare WebDataset loop that
only reads, decodes and resizes with PIL, on the same shards, alternating in one run; how full packed rows are on the
lengths of stage 3 (`stage3_lengths.json`); how long a run that stopped 1,000 shards in takes to its first batch; and the
memory of a process that reads from shards of 1 GiB.
"""

import argparse
import io
import json
import random
import resource
import statistics
import tarfile
import tempfile
import time
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
import webdataset as wds
from PIL import Image

from benchmarks.harness import over, show
from datamodules.packing import Packer
from datamodules.stream import OPEN_SHARDS, MixedStream, Source
from datamodules.templates import TEMPLATES

HERE = Path(__file__).resolve().parent
SIDE = 224


def make_shards(folder: Path, shards: int, samples: int, side: int) -> list[str]:
    """Shards of JPEG photographs' size and captions, from a seed."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(shards):
        path = folder / f"{number:05d}.tar"
        with wds.TarWriter(str(path)) as tar:
            for i in range(samples):
                rough = rng.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8)
                buffer = io.BytesIO()
                Image.fromarray(rough).resize((side, side), Image.Resampling.BICUBIC).save(
                    buffer, "jpeg", quality=90
                )
                tar.write(
                    {"__key__": f"{number:05d}{i:05d}", "jpg": buffer.getvalue(), "txt": f"picture {i}"}
                )
        paths.append(str(path))
    return paths


def bare(shards: list[str], seconds: float) -> float:
    """Samples per second of a loop that only reads, decodes and resizes."""
    count, start = 0, time.perf_counter()
    while True:
        for sample in wds.WebDataset(shards, shardshuffle=False):
            image = (
                Image.open(io.BytesIO(sample["jpg"]))
                .convert("RGB")
                .resize((SIDE, SIDE), Image.Resampling.BICUBIC)
            )
            torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()
            sample["txt"].decode()
            count += 1
            if time.perf_counter() - start > seconds:
                return count / (time.perf_counter() - start)


def _document(sample: dict[str, Any], rng: random.Random) -> list[Any]:
    """A document that takes as many tokens as its caption has letters, and 258 for its image."""
    document = TEMPLATES["draw"](sample, SIDE, rng, 0.1)
    return [document] * (258 + len(document[0].text))


def ours(shards: list[str], seconds: float) -> float:
    """Samples per second through the stream, the checks and the packer."""
    packer = Packer(MixedStream({"pairs": Source(shards, 1.0, _document)}, 0), 4096)
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        count += len(packer.row())
    return count / (time.perf_counter() - start)


def throughput(rounds: int, seconds: float) -> dict[str, Any]:
    """Both, in turn, on the same shards."""
    with tempfile.TemporaryDirectory() as folder:
        shards = make_shards(Path(folder), 4, 500, 256)
        bare(shards, 1), ours(shards, 1)
        pairs = [(bare(shards, seconds), ours(shards, seconds)) for _ in range(rounds)]
    ratios = [mine / theirs for theirs, mine in pairs]
    return {
        "bare_samples_per_second": round(statistics.median(theirs for theirs, _ in pairs), 1),
        "pipeline_samples_per_second": round(statistics.median(mine for _, mine in pairs), 1),
        **over(ratios, "pipeline_over_bare"),
    }


class Lengths:
    """A stream of documents of which only the lengths are real."""

    def __init__(self, mix: dict[str, Any], seed: int) -> None:
        self.tasks, self.rng = mix["tasks"], random.Random(seed)

    def __next__(self) -> Any:
        task = self.rng.choices(self.tasks, [task["share"] for task in self.tasks])[0]
        words = self.rng.randint(*task["words"])
        images = self.rng.choice(task["image_tokens"])
        return _Item(range(words + images))


class _Item:
    def __init__(self, value: range) -> None:
        self.value = value


def packing(rows: int = 2000) -> dict[str, Any]:
    """Real tokens over all, in rows of the length that the mix names."""
    mix = json.loads((HERE / "stage3_lengths.json").read_text(encoding="utf-8"))
    packer = Packer(Lengths(mix, 0), mix["sequence_length"])
    tokens = sum(len(item.value) for _ in range(rows) for item in packer.row())
    return {
        "packed": round(tokens / rows / mix["sequence_length"], 4),
        "sequence_length": mix["sequence_length"],
    }


def resume(shards: int = 1000, samples: int = 20) -> dict[str, Any]:
    """Seconds to the first row of a stream that stopped after so many shards."""
    with tempfile.TemporaryDirectory() as folder:
        paths = make_shards(Path(folder), shards + 50, samples, 64)
        open_packer = partial(Packer, length=4096)
        packer = open_packer(MixedStream({"pairs": Source(paths, 1.0, _document)}, 0))
        while packer.stream.places["pairs"]["next"] < shards:
            packer.row()
        state = packer.state_dict()
        start = time.perf_counter()
        again = open_packer(MixedStream({"pairs": Source(paths, 1.0, _document)}, 0))
        again.load_state_dict(state)
        first = again.row()
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
    packer = Packer(MixedStream({"pairs": Source(shards, 1.0, _document)}, 0), 4096)
    for _ in range(rows):
        packer.row()
    return before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.data", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement of speed")
    parser.add_argument("--json", action="store_true", help="JSON alone")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    found = throughput(options.rounds, options.seconds) | packing() | resume() | memory()
    found["versions"] = {
        "torch": torch.__version__,
        "webdataset": wds.__version__,
        "pillow": Image.__version__,
    }
    show(found, options.json)


if __name__ == "__main__":
    main()
