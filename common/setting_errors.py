"""One line for what jsonargparse and OmegaConf report of a wrong setting: which one, what is wrong, what there is.

jsonargparse reports every alternative of a type, nested, over a dozen lines. Of these the setting's full name, its class
and the innermost complaints are kept.
"""

import importlib
import pkgutil
import re
import typing
from argparse import ArgumentError
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from omegaconf.errors import OmegaConfBaseException

from common.checks import suggest

UNION = "Does not validate against any of the Union subtypes"
NOISE = (UNION, "Subtypes:", "Errors:", "Given value", "Expected a path", "Expected a <class 'NoneType'>")
TRAINER = "lightning.pytorch.Trainer"


class Complaint(NamedTuple):
    """A line of a report: the setting it is about, the import path of the class around it, and its text."""

    key: str
    class_path: str
    text: str


def deny_programs() -> None:
    """Lets no config name a class of modules that run programs, in any parser of jsonargparse."""
    from jsonargparse import set_parsing_settings

    set_parsing_settings(import_path_denylist=["os", "subprocess"])


@contextmanager
def setting_errors() -> Iterator[None]:
    """Turns errors of parsing and instantiating a config into a ValueError of one line.

    An error of a class's own, raised as it was made, stays as it was.
    """
    try:
        yield
    except OmegaConfBaseException as error:
        raise ValueError(_describe_reference(error)) from error
    except ArgumentError as error:
        raise ValueError(describe(str(error))) from error
    except ValueError as error:
        cause: BaseException = error
        while str(cause).startswith(UNION) and cause.__cause__ is not None:
            cause = cause.__cause__
        raise cause from None


def describe(report: str) -> str:
    """The line for a report of jsonargparse."""
    complaints = list(dict.fromkeys(_complaints(report)))
    types = [match[1] for c in complaints if (match := re.match(r"Expected a (.+?)\. Got value", c.text))]
    lines = []
    for complaint in complaints:
        line = _describe(complaint, " or ".join(dict.fromkeys(map(_type_name, types))))
        if line not in lines:
            lines.append(line)
    return " ".join(lines) or " ".join(report.split())


def _complaints(report: str) -> Iterator[Complaint]:
    """Walks a report, whose indentation says what is about what."""
    around: list[tuple[int, str, str]] = []  # indentation, key and class of each line that is still open
    for line in report.splitlines():
        text = line.strip().removeprefix("- ")
        if not text or text.startswith(NOISE):
            continue
        indent = len(line) - len(line.lstrip())
        while around and around[-1][0] >= indent:
            around.pop()
        if found := re.fullmatch(r'Parser key "([^"]*)":\s*(.*)', text):
            around.append((indent, found[1], ""))
            text = found[2]
        elif found := re.fullmatch(r"Problem with given class_path '([^']*)':\s*(.*)", text):
            around.append((indent, "", found[1]))
            text = found[2]
        if text and not text.startswith(NOISE):
            key = ".".join(key for _, key, _ in around if key)
            yield Complaint(key, next((c for _, _, c in reversed(around) if c), ""), text)


def _describe(complaint: Complaint, types: str) -> str:
    key, class_path, text = complaint
    if found := re.search(r"unrecognized arguments: --([\w.]+)", text):
        group, _, name = found[1].rpartition(".")
        if not class_path and group != "trainer":
            return text
        return _unknown(group if not class_path else _join(key, group), _class_of(class_path, group), name)
    if found := re.search(r"Group '([\w.]+)' does not accept option '(\w+)'", text):
        return _unknown(_join(key, found[1]), _class_of(class_path, found[1]), found[2])
    if found := re.search(r"Option '(\w+)' is not accepted", text):
        return _unknown(key, _class_of(class_path), found[1])
    if found := re.match(r"Expected a .+?\. Got value: (.*)", text):
        return f"{key} must be {types}, not {found[1]}"
    if found := re.search(r"module '([\w.]+)' has no attribute '(\w+)'", text):
        return f"{_join(key, '')}: {text}: {suggest(found[2], _contents(found[1]))}".removeprefix(": ")
    return f"{key}: {text}" if key else text


def _unknown(key: str, owner: Any, name: str) -> str:
    known = [] if owner is None else _parameters(owner)
    hint = f": {suggest(name, known)}" if known else ""
    return f"{key} has no setting {name!r}{hint}"


def _parameters(owner: Any) -> list[str]:
    """Names of a class's or function's parameters, with those that its **kwargs hand on to bases and settings."""
    from jsonargparse import ArgumentParser

    parser = ArgumentParser()
    add = parser.add_class_arguments if isinstance(owner, type) else parser.add_function_arguments
    return add(owner, fail_untyped=False)


def _join(*keys: str) -> str:
    return ".".join(key for key in keys if key)


def _type_name(text: str) -> str:
    return text.removeprefix("<class '").removesuffix("'>").rpartition(".")[2] if "<class" in text else text


def _class_of(class_path: str, key: str = "") -> Any:
    """The class at an import path, or the one that its argument `key` (dotted) is annotated with; None: unknown."""
    if not class_path:
        class_path, _, key = TRAINER, None, key.partition(".")[2]
    module, _, name = class_path.rpartition(".")
    found = getattr(importlib.import_module(module), name)
    for step in filter(None, key.split(".")):
        hints = typing.get_type_hints(found.__init__)
        candidates = [hints.get(step), *typing.get_args(hints.get(step))]
        found = next((one for one in candidates if isinstance(one, type) and one is not type(None)), None)
        if found is None:
            return None
    return found


def _contents(name: str) -> list[str]:
    """The classes that a module defines, and the modules that a package holds."""
    module = importlib.import_module(name)
    classes = [key for key, value in vars(module).items() if getattr(value, "__module__", "") == name]
    return classes + [found.name for found in pkgutil.iter_modules(getattr(module, "__path__", []))]


def _describe_reference(error: BaseException) -> str:
    """OmegaConf's report of a ${...} that cannot be resolved."""
    first = str(error).splitlines()[0]
    where = getattr(error, "full_key", None) or "a config"
    missing = re.search(r"Interpolation key '(.*)' not found", first)
    return f"{where}: ${{{missing[1]}}} refers to nothing" if missing else f"{where}: {first}"
