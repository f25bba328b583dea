"""How long a session of a run may train, as `trainer.max_time` says."""

from typing import Any

from lightning.pytorch.callbacks import Timer
from lightning.pytorch.utilities.exceptions import MisconfigurationException


def refuse_timer(callbacks: Any) -> None:
    """Makes sure that no callback of a config is a timer of Lightning's.

    Raises:
        ValueError: one is.
    """
    for one in callbacks if isinstance(callbacks, list) else [callbacks]:
        if str(getattr(one, "class_path", "")).rpartition(".")[2] == Timer.__name__:
            raise ValueError(
                "trainer.callbacks: a Timer would end the run as finished: give trainer.max_time instead"
            )


def session_seconds(trainer: Any) -> float | None:
    """The seconds of `trainer.max_time`, after which a run stops and can go on; None: there is no limit.

    Raises:
        ValueError: that is no length of time.
    """
    if trainer.max_time is None:
        return None
    try:
        seconds = Timer(trainer.max_time)._duration
    except (MisconfigurationException, TypeError):
        seconds = 0
    if not seconds or seconds <= 0:
        raise ValueError(
            f"trainer.max_time is DD:HH:MM:SS, as 00:12:00:00 for twelve hours, not {trainer.max_time!r}"
        )
    return seconds
