"""What is wrong with a shard that can be read, beside its samples: names with dots, a cut end, a stale index.json."""

from datamodules.shard import Shard


def shard_faults(shard: Shard, promised: int | None) -> tuple[list[tuple[str, int]], int]:
    """Each fault as (reason, samples that are lost by it), and how many samples are missing in all.

    Args:
        shard: a shard.
        promised: samples that the index.json beside it says; None where none does.
    """
    faults: list[tuple[str, int]] = []
    missing = 0 if promised is None else promised - len(shard)
    if shard.dotted:
        what = f"{len(shard.dotted)} samples, as {shard.dotted[0]!r}"
        faults.append((f"names with dots are read whole, as samples of their own: {what}", 0))
    if missing < 0:
        what = f"{len(shard)}, and not {promised}: run the doctor"
        faults.append((f"the shard holds more samples than its index.json says: {what}", 0))
    if shard.cut is not None:
        missing = max(1, missing)
        faults.append((shard.cut, missing))
    elif missing > 0:
        faults.append(("the shard holds fewer samples than its index.json says", missing))
    return faults, max(0, missing)
