"""Signals that ask a program to stop, and child processes that leave them to their parent.

A signal to a process group, as a terminal, `timeout` and batch systems send it, reaches data workers too. If they died of
it, the parent would find its workers gone before it has saved anything.
"""

import os
import signal
import threading

# What terminals, batch systems and people send to stop a program soon: each is handled alike.
STOP_SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGXCPU")
    if hasattr(signal, name)
)
STOPPED = 143  # the exit code of whatever was asked to end and can go on later: 128 + SIGTERM
_shielding = False


class Stopped(SystemExit):
    """A run that was asked to end, and that goes on when it is started again.

    Args:
        reason: what asked: a signal's name, or a setting.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(STOPPED)
        self.reason = reason


def shield_children(on: bool) -> None:
    """Whether processes that are forked from now on leave STOP_SIGNALS to this one."""
    global _shielding
    _shielding = on


def _shield() -> None:
    """Makes a forked child deaf to STOP_SIGNALS; a SIGTERM from its parent itself, or that finds it orphaned, ends it."""
    if not _shielding:
        return
    shield_children(False)
    for number in STOP_SIGNALS:
        if number != signal.SIGTERM:
            signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_obey, args=(os.getppid(),), daemon=True, name="signals").start()


def _obey(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent and os.getppid() == parent:
        pass
    os._exit(0)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_shield)
