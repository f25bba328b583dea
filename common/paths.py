"""Paths as users write them: `~` and `~user` stand for a home folder, wherever a shell has not replaced them."""

import argparse
import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\")  # how a path begins there: a drive, or a server's name
HOME = re.compile(r"~[\w.-]*(?=/|$)")  # how a path begins that is in a home folder


def expand_home(text: str, where: str = "") -> str:
    """A path with its home folder in place of a leading ~ or ~user; any other text as it is.

    Raises:
        ValueError: there is no such user; the message names the setting `where`.
    """
    if not HOME.match(text):
        return text
    path = os.path.expanduser(text)
    if path.startswith("~"):
        raise ValueError(
            f"{where + ': ' if where else ''}{text}: there is no user {text.partition('/')[0][1:]}"
        )
    return path


def user_path(text: str | Path) -> Path:
    """An option's type: a path, as `expand_home` has it."""
    return Path(path_or_name(str(text)))


def path_or_name(text: str) -> str:
    """An option's type: a path, as `expand_home` has it, or a name, URL or pattern, which stays."""
    try:
        return expand_home(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def typed_path(text: str) -> Path:
    r"""A path as people type it, paste it or drag it into a terminal.

    As it stands, if there is such a file; else without quotes ("my pic.png"), without escapes (my\ pic.png), from a
    file:// address, and with ~ as the home folder. Backslashes between a Windows path's folders stay.

    Raises:
        ValueError: there is no path, or no such user.
    """
    text = text.strip()
    if not text:
        raise ValueError("a path is missing: give a file")
    if Path(text).exists():
        return Path(text)
    try:
        paths = [text] if WINDOWS.match(text) else shlex.split(text)
    except ValueError:  # a quote that is not closed, as in it's.png
        paths = [text]
    path = paths[0] if len(paths) == 1 else text
    if len(path) > 1 and path[0] == path[-1] and path[0] in "'\"":
        path = path[1:-1]
    if path.lower().startswith("file:"):
        address = urlsplit(path)
        path = url2pathname(unquote(address.path) if os.name != "nt" else address.path)
    return Path(expand_home(path))


def expand_all(value: Any, where: str = "", strict: bool = True) -> Any:
    """A config's value with every path in it expanded, however deep it is; what is no text stays.

    Args:
        value: text, list, mapping, or namespace, which is changed in place.
        where: the setting, for the message.
        strict: whether an unknown user is an error, or such a path stays.

    Raises:
        ValueError: there is no such user; the message names the key.
    """
    if isinstance(value, str):
        try:
            return expand_home(value, where)
        except ValueError:
            if strict:
                raise
            return value
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return type(value)(expand_all(one, f"{where}[{i}]", strict) for i, one in enumerate(value))
    dot = f"{where}." if where else ""
    if isinstance(value, Mapping):
        return {key: expand_all(one, f"{dot}{key}", strict) for key, one in value.items()}
    if isinstance(value, argparse.Namespace):  # jsonargparse's is one
        for key, one in vars(value).items():
            setattr(value, key, expand_all(one, f"{dot}{key}", strict))
    return value
