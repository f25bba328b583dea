"""Precomputes the codes of images to draw: `python -m datamodules.tokenize --model DIR SHARDS... --out DIR`.

Writes each shard again with a `codes.FINGERPRINT.npy` beside every image, and with --features what the frozen encoder
makes of it. Training on them gives the batches that it would give otherwise, and needs no encoder and no tokenizer.
Restartable: a shard bears its name only when it is whole, and one that is there is kept.
"""

import json
import sys
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from common.errors import Parser, user_errors
from common.files import atomic, write_text
from common.folder_lock import FolderLock
from common.images import open_image
from common.json_files import read_object
from common.paths import path_or_name, user_path
from common.progress import progress
from common.tar_members import add_member
from common.terminal import printable
from common.urls import masked_urls
from datamodules.decode import image_endings
from datamodules.precomputed import MEMBER, member_name, to_npy
from datamodules.remote import Unreachable, local_copy
from datamodules.shard import BrokenSample, BrokenShard, Sample, Shard
from datamodules.shard_paths import find_shards
from models.device import check_device
from models.image_input import ImageInput
from models.unified import Illume

BATCH = 256


@dataclass
class Tally:
    """Images that got codes, shards that were kept, and what failed.

    Attributes:
        images, kept: how many.
        unread: shards, and why.
        failed: samples that were left out and images that got no codes, by kind of reason: how many, and the first.
    """

    images: int = 0
    kept: int = 0
    unread: list[str] = field(default_factory=list)
    failed: dict[str, tuple[int, str]] = field(default_factory=dict)

    def add_failed(self, reason: str, what: str, count: int = 1) -> None:
        """Counts samples or images; up to its first colon a reason is its kind."""
        kind = reason.partition(":")[0]
        before, first = self.failed.get(kind, (0, what))
        self.failed[kind] = (before + count, first)

    def add(self, shard: "Tally") -> None:
        """Adds one shard's."""
        self.images += shard.images
        for kind, (count, first) in shard.failed.items():
            self.add_failed(kind, first, count)

    def lines(self) -> Iterator[str]:
        """What failed, for a terminal."""
        for line in self.unread:
            yield printable(f"left out {line}")
        for kind, (count, first) in self.failed.items():
            yield printable(f"{count} without codes: {kind} (first: {first})")


def tokenize_shard(model: Illume, fingerprints: dict[str, str], path: str, target: Path) -> Tally:
    """Writes one shard with codes, and with features where `fingerprints` has them.

    A sample that cannot be read is left out, and one whose image cannot be decoded is written without codes: training
    skips and counts both.

    Raises:
        BrokenShard, Unreachable: the shard cannot be read, or none of its samples.
    """
    tally, written, shown = Tally(), 0, masked_urls(path)
    with (
        local_copy(path) as local,
        atomic(target) as scratch,
        tarfile.open(scratch, "w", format=tarfile.PAX_FORMAT) as tar,
    ):
        shard = Shard(local)
        readable = _samples(shard, tally, shown)
        while samples := list(islice(readable, BATCH)):
            images: list[dict[str, Tensor]] = []
            good: list[tuple[Sample, str]] = []
            for sample, ending in [(one, ending) for one in samples for ending in image_endings(one)]:
                try:
                    images.append(_squares(model, sample[ending], fingerprints))
                    good.append((sample, ending))
                except ValueError as error:
                    tally.add_failed(str(error), f"{shown} {sample['__key__']}.{ending}")
            for kind, fingerprint in fingerprints.items():
                encoded = encode_images(model, kind, [squares[kind] for squares in images])
                for (sample, ending), values in zip(good, encoded, strict=True):
                    sample[f"{member_name(ending, kind)}.{fingerprint}.npy"] = to_npy(values.numpy())
            tally.images += len(good)
            written += len(samples)
            for sample in samples:
                _write(tar, sample)
        if shard.cut is not None:
            tally.add_failed(shard.cut, shown)
        shard.close()
        if not written:
            raise BrokenShard("none of its samples can be read")
    return tally


def _samples(shard: Shard, tally: Tally, shown: str) -> Iterator[Sample]:
    """The samples without what was precomputed before."""
    for number, entry in enumerate(shard.entries):
        try:
            sample = shard.read(number)
        except BrokenSample as error:
            if not shard.may_be_cut(number):
                tally.add_failed(str(error), f"{shown} {entry.key}")
            continue
        yield {ending: content for ending, content in sample.items() if not MEMBER.fullmatch(ending)}


def _squares(model: Illume, content: bytes, kinds: Iterable[str]) -> dict[str, Tensor]:
    """An image file at the size at which codes are made of it, and features."""
    inputs = {"codes": model.code_input, "features": ImageInput(model.encoder.image_size)}
    image = open_image(content)
    return {kind: inputs[kind].square(image) for kind in kinds}


def encode_images(model: Illume, kind: str, images: list[Tensor], batch: int = BATCH) -> list[Tensor]:
    """The codes (N,) or features (N, D) of each image, on the CPU."""
    encode = model.encode if kind == "codes" else model.features
    batches = torch.stack(images).split(batch) if images else ()
    return [values for pixels in batches for values in encode(pixels).cpu()]


def _write(tar: tarfile.TarFile, sample: Sample) -> None:
    for ending, content in sample.items():
        if not ending.startswith("__"):
            add_member(tar, f"{sample['__key__']}.{ending}", content)


def tokenize(model: Illume, shards: list[str], out: Path, features: bool = False) -> Tally:
    """Writes all shards that are not there yet.

    Raises:
        ValueError: the folder holds codes of another tokenizer, or two shards have one name.
    """
    names = [Path(masked_urls(shard)).name for shard in shards]  # a URL's query may hold a signature
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"two of the shards are named {twice[0]}: give each folder its own call and --out")
    fingerprints = {"codes": model.fingerprint("encoder", "tokenizer")}
    fingerprints |= {"features": model.fingerprint("encoder")} if features else {}
    note = out / "precomputed.json"
    tally = Tally()
    with FolderLock(out):
        if note.exists() and read_object(note) != fingerprints:
            raise ValueError(
                f"{out} holds what another tokenizer, another call or an older version made: name another folder"
            )
        write_text(note, json.dumps(fingerprints) + "\n")
        for shard, name in progress(list(zip(shards, names, strict=True)), "shards tokenized"):
            if (out / name).exists():
                tally.kept += 1
                continue
            try:
                tally.add(tokenize_shard(model, fingerprints, shard, out / name))
            except (BrokenShard, Unreachable) as error:
                tally.unread.append(f"{masked_urls(shard)}: {error}")
    return tally


@user_errors("tokenize")
def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = Parser(
        prog="python -m datamodules.tokenize", description=__doc__.splitlines()[0], allow_abbrev=False
    )
    add = parser.add_argument
    add("shards", type=path_or_name, nargs="+", help="folders, brace patterns or URLs of shards")
    add("--model", type=path_or_name, required=True, help="model folder with encoder and tokenizer")
    add("--out", type=user_path, required=True, help="folder that takes the shards with codes")
    add("--features", action="store_true", help="features of the frozen encoder as well")
    add("--device", default="cpu", help="default: %(default)s")
    options = parser.parse_args(arguments)
    check_device(options.device)
    shards = find_shards(options.shards)
    model = Illume.from_pretrained(options.model, only=("encoder", "tokenizer")).to(options.device)
    tally = tokenize(model, shards, options.out, options.features)
    for line in tally.lines():
        print(f"tokenize: {line}")
    kept = f", {tally.kept} shards were there already" if tally.kept else ""
    print(f"tokenize: {tally.images} images have codes in {printable(str(options.out))}{kept}")
    return 1 if tally.unread or not (tally.images or tally.kept) else 0


if __name__ == "__main__":
    sys.exit(main())
