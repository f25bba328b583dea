"""Small shards for tests."""

import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image


def png(value: int = 9, size: int = 48) -> bytes:
    """A grey image."""
    buffer = io.BytesIO()
    Image.fromarray(np.full((size, size, 3), value, np.uint8)).save(buffer, "png")
    return buffer.getvalue()


def write_tar(path: Path, members: Iterable[tuple[str, bytes]]) -> Path:
    """A tar of these members, in this order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def write_samples(path: Path, samples: Mapping[str, Mapping[str, bytes]]) -> Path:
    """A shard of samples: endings and bytes by key."""
    return write_tar(
        path, ((f"{key}.{end}", data) for key, sample in samples.items() for end, data in sample.items())
    )


def write_shards(folder: Path, shards: int = 3, samples: int = 7, name: str = "a") -> list[str]:
    """Shards whose samples are one word each, which says where it stands."""
    return [
        str(
            write_samples(
                folder / f"{s}.tar",
                {f"{s:03d}{i:03d}": {"txt": f"{name}{s}-{i}".encode()} for i in range(samples)},
            )
        )
        for s in range(shards)
    ]
