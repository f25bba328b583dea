"""Turns what went wrong into the one line a user needs: what it was, where, and what there is instead."""

import argparse
import errno
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from common.terminal import printable

# By name, because importing the packages that define them takes seconds; subclasses count.
USER_ERRORS = {
    "MisconfigurationException",
    "OutOfMemoryError",
    "StaleCodes",
}
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
    names = {kind.__name__ for kind in type(error).__mro__}
    if not isinstance(error, (ValueError, OSError)) and not names & USER_ERRORS:
        return None
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
    seen: list[BaseException] = []  # an error that is raised again may be its own context
    while link is not None and link not in seen:
        seen.append(link)
        if isinstance(link, OSError) and link.errno in (errno.ENOSPC, errno.EDQUOT):
            where = f" ({link.filename})" if link.filename else ""
            return f"the disk is full{where}: make room, then give the same command again"
        if f"(os error {errno.ENOSPC})" in str(link):  # a library written in Rust
            return "the disk is full: make room, then give the same command again"
        link = link.__cause__ or link.__context__
    return None
