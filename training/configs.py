"""The settings of two runs held against each other; needs no Lightning."""

from collections.abc import Mapping
from typing import Any

from common.paths import expand_all
from common.settings import differing, flat, shown

# Where things lie, who is told of them and how long processes wait does not change what a run computes; the resolved
# config holds what the files did.
IGNORED = ("config", "extends", "name", "runs_dir", "track", "timeout")
SESSION = ("trainer.max_time",)  # of one session of a run: the next may be longer


def config_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The keys in which two configs differ, each as "model.init_args.lr (0.1 -> 0.2)"."""
    before, after = (
        flat(expand_all(dict(one), strict=False)) for one in (old, new)
    )  # ~ and what it stands for are one
    keys = [
        key for key in differing(before, after) if key.split(".")[0] not in IGNORED and key not in SESSION
    ]
    return [f"{key} ({shown(before, key)} -> {shown(after, key)})" for key in keys]
