"""Paths as users write them: `~` and `~user` stand for a home folder, wherever a shell has not replaced them."""

import argparse
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HOME = re.compile(r"~[\w.-]*(?=/|$)")  # how a path begins that is in a home folder


def expand_home(text: str, where: str = "") -> str:
    """A path with its home folder in place of a leading ~ or ~user; any other text as it is.

    Args:
        text: a path, a name on a hub, a URL, ...
        where: the setting, for the message.

    Raises:
        ValueError: there is no such user.
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


def expand_all(value: Any, where: str = "", strict: bool = True) -> Any:
    """A config's value with every path in it expanded, however deep it stands; what is no text stays.

    Args:
        value: text, a list, a mapping, a namespace, or anything else.
        where: the setting, for the message.
        strict: whether a home folder of nobody is an error, or stays as it is.

    Returns:
        The same kind of value; namespaces are changed in place.

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
