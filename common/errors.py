"""Turns what went wrong into the one line a user needs: what it was, where, and what there is instead."""

import argparse
import errno
import importlib
import inspect
import os
import pkgutil
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from common.checks import suggest
from common.terminal import printable

# By name, because importing the packages that define them takes seconds; subclasses count.
USER_ERRORS = {
    "ArgumentError",
    "MisconfigurationException",
    "OmegaConfBaseException",
    "OutOfMemoryError",
    "StaleCodes",
}
# Lines of a jsonargparse report that name alternatives nobody meant, or repeat the value.
NOISE = (
    "Does not validate",
    "Subtypes:",
    "Errors:",
    "Given value",
    "Expected a <class 'NoneType'>",
    "Expected a path",
)
TRAINER = "lightning.pytorch.Trainer"
DIVERGED = "training has diverged"  # how the line begins of a run that came to numbers that are not finite
LOST = 75  # the exit code where other processes are gone: the same command goes on from the last checkpoint


def explain(error: BaseException) -> str | None:
    """The line for an error that its user can mend; None for a bug, which needs its traceback."""
    if full := _disk_full(error):
        return full
    if lost := lost_process(error):
        return lost
    if str(error).startswith("Failed to load the backend extension: torch_npu"):
        return (
            "torch_npu is installed, and does not load: source CANN's set_env.sh, "
            "or set TORCH_DEVICE_BACKEND_AUTOLOAD=0 to do without NPUs"
        )
    if str(error).startswith(NOISE[0]) and error.__cause__ is not None:  # what a callback said as it was made
        return explain(error.__cause__)
    names = {kind.__name__ for kind in type(error).__mro__}
    if not isinstance(error, (ValueError, OSError)) and not names & USER_ERRORS:
        return None
    if "OmegaConfBaseException" in names:
        return _reference(error)
    if "ArgumentError" in names:
        return _setting(str(error))
    line = " ".join(str(error).split())
    if line.startswith("No supported gpu backend"):
        line = (
            "trainer.accelerator asks for a GPU, and this machine has none: run it where there is one "
            "(--plan counts here what it takes), or, if the stage is small, give --trainer.accelerator cpu"
        )
    return line


def lost_process(error: BaseException) -> str:
    """The line where a process waited for another that is gone; empty for any other error."""
    names = {kind.__name__ for kind in type(error).__mro__}
    text = " ".join(str(error).split())
    if not names & {"DistBackendError", "DistNetworkError", "DistStoreError"} and not (
        isinstance(error, RuntimeError) and re.search(r"\bgloo/|hccl", text, re.IGNORECASE)
    ):
        return ""
    return f"another process of this run is gone or does not answer ({text[:120]}): {goes_on()}"


def goes_on() -> str:
    """What becomes of a run that has lost a process."""
    return "the run ends here, and the same command goes on from its last checkpoint"


class Parser(argparse.ArgumentParser):
    """argparse that says what is wrong in one line, without its usage."""

    def error(self, message: str) -> NoReturn:
        """Ends the program."""
        self.exit(2, f"{self.prog.removeprefix('python -m ').split()[0]}: error: {printable(message)}\n")


@contextmanager
def user_errors(program: str) -> Iterator[None]:
    """The end of every command line: Ctrl-C is exit code 130, a user's error one line and exit code 2.

    Where other processes of the run are gone, it is one line and exit code 75. A bug keeps its traceback; so does every
    error where the environment has TRACEBACK set.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception as error:
        line = explain(error)
        if line is None or os.environ.get("TRACEBACK"):
            raise
        print(f"{program}: error: {printable(line)}", file=sys.stderr)
        raise SystemExit(LOST if lost_process(error) else 2) from None


def _disk_full(error: BaseException) -> str | None:
    link: BaseException | None = error  # torch and Lightning may raise an error of their own on top
    while link is not None:
        if isinstance(link, OSError) and link.errno in (errno.ENOSPC, errno.EDQUOT):
            where = f" ({link.filename})" if link.filename else ""
            return f"the disk is full{where}: make room, then give the same command again"
        if f"(os error {errno.ENOSPC})" in str(link):  # a library written in Rust
            return "the disk is full: make room, then give the same command again"
        link = link.__cause__ or link.__context__
    return None


def _reference(error: BaseException) -> str:
    """Omegaconf's report of a ${...} that cannot be resolved."""
    first = str(error).splitlines()[0]
    where = getattr(error, "full_key", None) or "a config"
    missing = re.search(r"Interpolation key '(.*)' not found", first)
    return f"{where}: ${{{missing[1]}}} refers to nothing" if missing else f"{where}: {first}"


def _setting(report: str) -> str:
    """Jsonargparse's report of a wrong setting, without its alternatives, and with what there is."""
    lines = [line.strip().removeprefix("- ") for line in report.splitlines()]
    line = " ".join(dict.fromkeys(line for line in lines if line and not line.startswith(NOISE)))
    line = re.sub(r'Parser key "([^"]*)"', r"\1", line)
    line = re.sub(r"Problem with given class_path '([^']*)'", r"\1", line)
    hint = _hint(line)
    return f"{line}: {hint}" if hint else line


def _hint(line: str) -> str:
    """What there is instead of the option, class or module that `line` complains about."""
    if found := re.search(r"(?:Group 'trainer' does not accept option '|arguments: --trainer\.)(\w+)", line):
        return suggest(found[1], _options(TRAINER))
    if found := re.search(r"([\w.]+): Option '(\w+)' is not accepted", line):
        return suggest(found[2], _options(found[1]))
    if found := re.search(r"module '([\w.]+)' has no attribute '(\w+)'", line):
        return suggest(found[2], _contents(found[1]))
    return ""


def _options(class_path: str) -> list[str]:
    module, _, name = class_path.rpartition(".")
    return list(inspect.signature(getattr(importlib.import_module(module), name)).parameters)


def _contents(name: str) -> list[str]:
    """The classes that a module defines, and the modules that a package holds."""
    module = importlib.import_module(name)
    classes = [key for key, value in vars(module).items() if getattr(value, "__module__", "") == name]
    return classes + [found.name for found in pkgutil.iter_modules(getattr(module, "__path__", []))]
