"""`train.py --help CLASS`: the settings of a class that configs name, and of the dataclasses within them."""

import dataclasses
import importlib
import re
import typing
from argparse import SUPPRESS
from collections.abc import Iterator
from pathlib import Path

from common.checks import suggest

ROOT = Path(__file__).resolve().parent.parent
PREFIXES = {"lightning_modules": "model", "datamodules": "data"}  # of settings on the command line
OWN_OPTIONS = (  # jsonargparse's, which this help does without
    r"^  --\S+\.help\s+Show the help for \w+\s+and\s+exit\.\n|^  --\S+ CONFIG\s+Path to a configuration file\.\n"
)
PACKAGES = (*PREFIXES, "callbacks", "judges", "self_enhancement", "models")  # in which a class is looked for


def class_help(name: str) -> str:
    """The help of a class by its name, or its import path.

    Raises:
        ValueError: there is no such class.
    """
    found = find_class(name)
    return "\n".join(_sections(found, PREFIXES.get(found.__module__.partition(".")[0], "")))


def find_class(name: str) -> type:
    """A class of the project by its name or import path; imports its module alone.

    Raises:
        ValueError: there is none.
    """
    modules = dict(_project_classes())
    module, _, short = name.rpartition(".")
    if short not in modules or module not in ("", modules[short]):
        raise ValueError(f"--help: there is no class {name!r}: {suggest(short, modules)}")
    return getattr(importlib.import_module(modules[short]), short)


def _project_classes() -> Iterator[tuple[str, str]]:
    """Public classes and their modules, those of earlier PACKAGES last, so that they win."""
    for package in reversed(PACKAGES):
        for path in sorted((ROOT / package).rglob("*.py")):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            for name in re.findall(r"^class ([A-Z]\w*)", path.read_text(encoding="utf-8"), re.MULTILINE):
                yield name, module


def _sections(found: type, prefix: str) -> Iterator[str]:
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(add_help=False, usage=SUPPRESS)
    parser.add_class_arguments(found, prefix or None)
    text = re.sub(OWN_OPTIONS, "", parser.format_help(), flags=re.MULTILINE)
    yield f"{found.__module__}.{found.__qualname__}\n{text}"
    for nested, key in _optional_dataclasses(found).items():
        yield from _sections(nested, f"{prefix}.{key}".strip("."))


def _optional_dataclasses(found: type) -> dict[type, str]:
    """Dataclasses in unions, lists and dicts of a class's arguments, with their keys; jsonargparse shows plain ones."""
    nested: dict[type, str] = {}
    for name, hint in typing.get_type_hints(found.__init__).items():
        open_types = [(name, hint)]
        for key, one in open_types:  # which grows
            inner = f"{key}.NAME" if typing.get_origin(one) is dict else key
            open_types += [(inner, argument) for argument in typing.get_args(one)]
            if isinstance(one, type) and dataclasses.is_dataclass(one) and one is not hint:
                nested.setdefault(one, key)
    return nested
