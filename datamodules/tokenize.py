"""Makes the codes of drawn images ahead of time: `python -m datamodules.tokenize --model DIR SHARDS... --out DIR`.

Writes each shard again with a `codes.STAMP.npy` beside every image, and with --features what the frozen encoder sees in
it. Training on them gives the batches that it would give otherwise, and spares encoder and tokenizer. Restartable: a
shard bears its name only when it is whole, and one that is there is not made again.
"""

import argparse
import json
import sys
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from rich.progress import Progress
from torch import Tensor

from common.errors import user_errors
from common.files import atomic, write_text
from common.folder_lock import FolderLock
from common.images import open_image
from common.json_files import read_object
from common.paths import path_or_name, user_path
from common.terminal import printable
from common.urls import masked_urls
from datamodules.decode import image_endings
from datamodules.precomputed import MEMBER, member_name, packed
from datamodules.shard import BrokenSample, BrokenShard, Sample, Shard, add_member
from datamodules.shard_paths import Unreachable, find_shards, local
from models.device import check_device
from models.image_input import ImageInput
from models.unified import Illume

BATCH = 256


@dataclass
class Made:
    """What came of shards: images that got codes, shards that were there already, and what did not go well.

    Attributes:
        images, there: how many.
        unread: shards, and why.
        odd: samples that were left out and images that got no codes, by reason: how many, and the first.
    """

    images: int = 0
    there: int = 0
    unread: list[str] = field(default_factory=list)
    odd: dict[str, tuple[int, str]] = field(default_factory=dict)

    def add_odd(self, reason: str, what: str, many: int = 1) -> None:
        """Counts a sample or an image; a reason's words up to its first colon are its kind."""
        kind = reason.partition(":")[0]
        count, first = self.odd.get(kind, (0, what))
        self.odd[kind] = (count + many, first)

    def add_shard(self, more: "Made") -> None:
        """Adds what came of one shard."""
        self.images += more.images
        for kind, (count, first) in more.odd.items():
            self.add_odd(kind, first, count)

    def lines(self) -> Iterator[str]:
        """What did not go well, for a terminal."""
        for line in self.unread:
            yield printable(f"left out {line}")
        for kind, (count, first) in self.odd.items():
            yield printable(f"{count} without codes: {kind} (first: {first})")


def tokenize_shard(
    model: Illume, stamps: dict[str, str], shard: str, target: Path, batch: int = BATCH
) -> Made:
    """Writes one shard with codes, and features where `stamps` has them.

    A sample that cannot be read is left out, and one whose image cannot be decoded goes over without codes: training
    skips and counts both.

    Raises:
        BrokenShard, Unreachable: the shard cannot be read, or none of its samples.
    """
    made, written, shown = Made(), 0, masked_urls(shard)
    with (
        local(shard) as path,
        atomic(target) as scratch,
        tarfile.open(scratch, "w", format=tarfile.PAX_FORMAT) as tar,
    ):
        opened = Shard(path)
        for samples in _groups(opened, batch, made, shown):
            found = [(sample, ending) for sample in samples for ending in image_endings(sample)]
            images, good = [], []
            for sample, ending in found:
                try:
                    images.append(_squares(model, sample[ending], stamps))
                    good.append((sample, ending))
                except ValueError as error:
                    made.add_odd(str(error), f"{shown} {sample['__key__']}.{ending}")
            for kind, stamp in stamps.items():
                encoded = _make(model, kind, [squares[kind] for squares in images], batch)
                for (sample, ending), values in zip(good, encoded, strict=True):
                    sample[member_name(ending, kind, stamp)] = packed(values.numpy())
            made.images += len(good)
            written += len(samples)
            for sample in samples:
                _write(tar, sample)
        if opened.cut is not None:
            made.add_odd(opened.cut, shown)
        opened.close()
        if not written:
            raise BrokenShard("none of its samples can be read")
    return made


def _groups(shard: Shard, size: int, made: Made, shown: str) -> Iterator[list[Sample]]:
    group: list[Sample] = []
    for number in range(len(shard)):
        try:
            sample = shard.read(number)
        except BrokenSample as error:
            if not shard.may_be_a_part(number):
                made.add_odd(str(error), f"{shown} {shard.entries[number].key}")
            continue
        group.append({ending: data for ending, data in sample.items() if not MEMBER.fullmatch(ending)})
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def _squares(model: Illume, content: bytes, kinds: Iterable[str]) -> dict[str, Tensor]:
    """An image file at the size at which codes are made of it, and features."""
    ways = {"codes": model.code_input, "features": ImageInput(model.encoder.image_size)}
    image = open_image(content)
    return {kind: ways[kind].square(image) for kind in kinds}


def _make(model: Illume, kind: str, pixels: list[Tensor], batch: int) -> list[Tensor]:
    make = model.encode if kind == "codes" else model.features
    parts = torch.stack(pixels).split(batch) if pixels else ()
    return [values for part in parts for values in make(part).cpu()]


def _write(tar: tarfile.TarFile, sample: Sample) -> None:
    for ending, content in sample.items():
        if not ending.startswith("__"):
            add_member(tar, f"{sample['__key__']}.{ending}", content)


def tokenize(model: Illume, shards: list[str], out: Path, features: bool = False) -> Made:
    """Writes all shards that are not there yet.

    Raises:
        ValueError: the folder holds codes of another tokenizer, or two shards have one name.
    """
    names = [Path(masked_urls(shard)).name for shard in shards]  # a URL's query may hold a signature
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(
            f"two of the shards are named {twice}: give each folder a call and an --out of its own"
        )
    stamps = {"codes": model.fingerprint("encoder", "tokenizer")}
    stamps |= {"features": model.fingerprint("encoder")} if features else {}
    note = out / "made_ahead.json"
    made = Made()
    with FolderLock(out), Progress(transient=True, disable=not sys.stdout.isatty()) as bar:
        if note.exists() and read_object(note) != stamps:
            raise ValueError(
                f"{out} holds what another tokenizer, another call or an older version made: name another folder"
            )
        write_text(note, json.dumps(stamps) + "\n")
        for shard, name in bar.track(list(zip(shards, names, strict=True)), description="shards"):
            if (out / name).exists():
                made.there += 1
                continue
            try:
                made.add_shard(tokenize_shard(model, stamps, shard, out / name))
            except (BrokenShard, Unreachable) as error:
                made.unread.append(f"{masked_urls(shard)}: {error}")
    return made


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m datamodules.tokenize", description=__doc__.splitlines()[0], allow_abbrev=False
    )
    parser.add_argument(
        "shards", type=path_or_name, nargs="+", help="folders, brace patterns or URLs of shards"
    )
    parser.add_argument(
        "--model", type=path_or_name, required=True, help="model folder with encoder and tokenizer"
    )
    parser.add_argument(
        "--out", type=user_path, required=True, help="folder that takes the shards with codes"
    )
    parser.add_argument("--features", action="store_true", help="features of the frozen encoder as well")
    parser.add_argument("--device", default="cpu", help="default: %(default)s")
    options = parser.parse_args(arguments)
    try:
        check_device(options.device)
        shards = find_shards(options.shards)
        model = Illume.from_pretrained(options.model, only=("encoder", "tokenizer")).to(options.device)
        made = tokenize(model, shards, options.out, options.features)
    except (ValueError, OSError) as error:
        print(f"tokenize: {printable(str(error))}", file=sys.stderr)
        return 2
    for line in made.lines():
        print(f"tokenize: {line}")
    there = f", {made.there} shards were there already" if made.there else ""
    print(f"tokenize: {made.images} images have codes in {printable(str(options.out))}{there}")
    return 1 if made.unread or not (made.images or made.there) else 0


if __name__ == "__main__":
    with user_errors("tokenize"):
        sys.exit(main())
