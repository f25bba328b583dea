"""Makes the codes of drawn images ahead of time: `python -m datamodules.tokenize --model DIR SHARDS... --out DIR`.

Writes each shard again with a `codes.STAMP.npy` beside every image, and with --features what the frozen encoder sees in
it. Training on them gives the batches that it would give otherwise, and spares encoder and tokenizer. Restartable: a
shard bears its name only when it is whole, and one that is there is not made again.
"""

import argparse
import json
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import torch
from rich.progress import Progress
from torch import Tensor

from common.files import atomic, write_text
from common.folder_lock import FolderLock
from common.json_files import read_object
from common.paths import path_or_name, user_path
from datamodules.decode import decode_image, image_endings
from datamodules.made_ahead import MEMBER, member_name, packed
from datamodules.places import Unreachable, find_shards, local
from datamodules.shard import BrokenSample, BrokenShard, Sample, Shard, add_member
from models.device import check_device
from models.unified import Illume

BATCH = 256


def tokenize_shard(
    model: Illume, stamps: dict[str, str], shard: str, target: Path, batch: int = BATCH
) -> int:
    """Writes one shard with codes, and features where `stamps` has them; returns how many images got some.

    A sample that cannot be read is left out, and one whose image cannot be decoded goes over without codes: training
    skips and counts both.

    Raises:
        BrokenShard, Unreachable: the shard cannot be read.
    """
    images = 0
    with (
        local(shard) as path,
        atomic(target) as scratch,
        tarfile.open(scratch, "w", format=tarfile.PAX_FORMAT) as tar,
    ):
        opened = Shard(path)
        for samples in _groups(opened, batch):
            found = [(sample, ending) for sample in samples for ending in image_endings(sample)]
            pixels, good = [], []
            for sample, ending in found:
                try:
                    pixels.append(decode_image(sample[ending], model.encoder.image_size))
                    good.append((sample, ending))
                except ValueError:
                    continue
            for kind, stamp in stamps.items():
                made = _make(model, kind, pixels, batch)
                for (sample, ending), values in zip(good, made, strict=True):
                    sample[member_name(ending, kind, stamp)] = packed(values.numpy())
            images += len(good)
            for sample in samples:
                _write(tar, sample)
        opened.close()
    return images


def _groups(shard: Shard, size: int) -> Iterator[list[Sample]]:
    group: list[Sample] = []
    for number in range(len(shard)):
        try:
            sample = shard.read(number)
        except BrokenSample:
            continue
        group.append({ending: data for ending, data in sample.items() if not MEMBER.fullmatch(ending)})
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def _make(model: Illume, kind: str, pixels: list[Tensor], batch: int) -> list[Tensor]:
    make = model.encode if kind == "codes" else model.features
    parts = torch.stack(pixels).split(batch) if pixels else ()
    return [values for part in parts for values in make(part).cpu()]


def _write(tar: tarfile.TarFile, sample: Sample) -> None:
    for ending, content in sample.items():
        if not ending.startswith("__"):
            add_member(tar, f"{sample['__key__']}.{ending}", content)


def tokenize(model: Illume, shards: list[str], out: Path, features: bool = False) -> tuple[int, list[str]]:
    """Writes all shards that are not there yet; returns how many images got codes now, and what could not be read.

    Raises:
        ValueError: the folder holds codes of another tokenizer, or two shards have one name.
    """
    names = [Path(shard).name for shard in shards]
    if len(set(names)) < len(names):
        raise ValueError("two of the shards have the same name: give each set a call and an --out of its own")
    stamps = {"codes": model.stamp("encoder", "tokenizer")}
    stamps |= {"features": model.stamp("encoder")} if features else {}
    note = out / "made_ahead.json"
    images, broken = 0, []
    with FolderLock(out), Progress(transient=True) as bar:
        if note.exists() and read_object(note) != stamps:
            raise ValueError(f"{out} holds what another tokenizer or another call made: name another folder")
        write_text(note, json.dumps(stamps) + "\n")
        for shard, name in bar.track(list(zip(shards, names, strict=True)), description="shards"):
            if (out / name).exists():
                continue
            try:
                images += tokenize_shard(model, stamps, shard, out / name)
            except (BrokenShard, Unreachable) as error:
                broken.append(f"{shard}: {error}")
    return images, broken


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
        images, broken = tokenize(model, shards, options.out, options.features)
    except (ValueError, OSError) as error:
        print(f"tokenize: {error}", file=sys.stderr)
        return 2
    for line in broken:
        print(f"tokenize: left out {line}")
    print(f"tokenize: {images} images have codes in {options.out}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
