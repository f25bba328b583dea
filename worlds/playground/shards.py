"""Writes the playground's training data as WebDataset shards: `python -m worlds.playground.shards --out DIR`.

Every shard is a function of the seed, its set, split and number, so a run that is cut off is resumed: shards that exist
are kept, and a shard or index bears its name only when it is whole.
"""

import json
import tarfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from common.errors import Parser, user_errors
from common.files import atomic, write_text
from common.folder_lock import FolderLock
from common.paths import user_path
from common.process_pool import map_processes
from common.tar_members import add_member
from worlds.playground.samples import SAMPLERS

SHARD_SAMPLES = 2000
VAL_SAMPLES = 512
TRAIN_SAMPLES = dict(pairs=60_000, questions=30_000, edits=16_000, stories=4_000, text=30_000, crowds=16_000)


@dataclass(frozen=True)
class ShardSet:
    """A folder of shards: which set and split, how many samples, from which seed."""

    name: str
    split: str
    samples: int
    seed: int

    def folder(self, out: Path) -> Path:
        """DIR/pairs for training, DIR/pairs/val for validation."""
        return out / self.name if self.split == "train" else out / self.name / self.split

    def counts(self) -> dict[str, int]:
        """Samples by shard file."""
        starts = range(0, self.samples, SHARD_SAMPLES)
        return {f"shard-{i:05d}.tar": min(SHARD_SAMPLES, self.samples - s) for i, s in enumerate(starts)}

    def index(self) -> str:
        """The content of index.json."""
        return json.dumps(asdict(self) | {"shards": self.counts()}, indent=1) + "\n"


def _write_shard(task: tuple[ShardSet, Path, int]) -> Path:
    shards, path, number = task
    stream = [shards.seed, list(SAMPLERS).index(shards.name), ("train", "val").index(shards.split), number]
    rng = np.random.default_rng(stream)
    with atomic(path) as scratch, tarfile.open(scratch, "w", format=tarfile.USTAR_FORMAT) as tar:
        for i in range(shards.counts()[path.name]):
            for ending, content in SAMPLERS[shards.name](rng).items():
                add_member(tar, f"{number * SHARD_SAMPLES + i:09d}.{ending}", content)
    return path


def write_shards(sets: list[ShardSet], out: Path, workers: int = 2) -> Iterator[Path]:
    """Writes what is missing of the sets; yields each shard that was written.

    Raises:
        ValueError: shards of another seed or scale are there, or another process writes there.
    """
    with FolderLock(out):
        for shards in sets:
            for name in ("index.json", "index.tmp"):
                path = shards.folder(out) / name
                if path.exists() and path.read_text() != shards.index():
                    raise ValueError(f"{path.parent} has shards of another seed or scale: name another")
        for shards in sets:  # noted first: a run that is cut off is only resumed as it began
            folder = shards.folder(out)
            if not (folder / "index.json").exists():
                write_text(folder / "index.tmp", shards.index())
        tasks = [
            (shards, shards.folder(out) / name, number)
            for shards in sets
            for number, name in enumerate(shards.counts())
            if not (shards.folder(out) / name).exists()
        ]
        yield from map_processes(_write_shard, tasks, workers, "shards drawn")
        for shards in sets:
            if (shards.folder(out) / "index.tmp").exists():
                (shards.folder(out) / "index.tmp").replace(shards.folder(out) / "index.json")


def shard_sets(names: list[str], seed: int, scale: float) -> list[ShardSet]:
    """The training and validation sets of these names; `scale` multiplies the training samples."""
    unknown = [name for name in names if name not in SAMPLERS]
    if unknown:
        raise ValueError(f"--only {','.join(unknown)}: no such shard set; there are {', '.join(SAMPLERS)}")
    if not scale > 0:
        raise ValueError(f"--scale {scale:g}: must be above 0")
    if seed < 0:
        raise ValueError(f"--seed {seed}: must not be below 0")
    train = [ShardSet(name, "train", max(1, round(scale * TRAIN_SAMPLES[name])), seed) for name in names]
    return train + [ShardSet(name, "val", VAL_SAMPLES, seed) for name in names]


@user_errors("playground")
def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = Parser(prog="python -m worlds.playground.shards", description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--out", type=user_path, required=True, help="folder that takes one folder per set")
    add("--seed", type=int, default=0)
    add("--scale", type=float, default=1.0, help="multiplies the number of training samples")
    add("--workers", type=int, default=2, help="processes that draw and write")
    add("--only", default=",".join(SAMPLERS), metavar="SETS", help="default: %(default)s")
    options = parser.parse_args(arguments)
    if options.workers < 1:
        raise ValueError(f"--workers {options.workers}: must be at least 1")
    sets = shard_sets(options.only.split(","), options.seed, options.scale)
    for _ in write_shards(sets, options.out, options.workers):
        pass
    print(f"playground: {sum(s.samples for s in sets)} samples in {options.out}")


if __name__ == "__main__":
    main()
