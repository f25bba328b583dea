"""Options of a plan on the command line; without torch, so that a mistyped device is reported at once."""

from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from training.devices import DEVICES

UTILISATION = 0.4  # of the device's peak (assumed; the language models of arXiv 2204.02311, table 3, reach 0.21 to 0.46)


class Options(NamedTuple):
    """The device to plan for (None: by the recipe's accelerator), and the share of its peak that training reaches."""

    device: str | None = None
    utilisation: float = UTILISATION


def parse_plan_options(argv: Sequence[str]) -> tuple[Options | None, list[str]]:
    """Takes a plan's options out of a command line; None where no plan is asked for.

    Raises:
        ValueError: a device that is not known, a share that is none, or options of a plan without --plan.
    """
    given: dict[str, str] = {}
    rest: list[str] = []
    arguments = iter(argv)
    for argument in arguments:
        option, equals, value = argument.partition("=")
        if option in ("--plan", "--plan_device", "--plan_utilisation"):
            given[option] = value if equals or option == "--plan" else next(arguments, "")
        else:
            rest.append(argument)
    if not given:
        return None, rest
    if "--plan" not in given:
        raise ValueError(f"{next(iter(given))} is an option of a plan: give --plan as well")
    if given["--plan"]:
        raise ValueError(f"--plan takes no value, and is given {given['--plan']!r}")
    device, text = given.get("--plan_device"), given.get("--plan_utilisation", str(UTILISATION))
    if device not in (None, *DEVICES):
        raise ValueError(f"--plan_device {device!r} is not known; there is {', '.join(DEVICES)}")
    with suppress(ValueError):
        if 0 < (utilisation := float(text)) <= 1:
            return Options(device, utilisation), rest
    raise ValueError(f"--plan_utilisation is a share of the device's peak, above 0 and up to 1, not {text!r}")
