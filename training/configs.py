"""Config files: found by bare name, read with what they extend, and compared. Needs neither torch nor Lightning."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from common.checks import suggest
from common.paths import expand_all, expand_home
from common.safe_yaml import read_yaml
from common.settings import differing_keys, flatten, format_setting

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
CONFIG_DIRS = (CONFIGS, CONFIGS / "playground")
MAX_EXTENDS = 50
GROUPS = ("trainer", "checkpoint", "speed", "track")  # of settings in a config
# Folders, trackers and time-outs do not change what a run computes; the resolved config holds what the files did.
IGNORED = ("config", "extends", "name", "runs_dir", "track", "timeout")
PER_SESSION = ("trainer.max_time",)  # the next session of a run may be longer

Settings = dict[str, Any]


def find_config(name: str, beside: Path, asker: str = "--config") -> Path:
    """The config file called `name` in the folder `beside`, in configs/ or in configs/playground/."""
    name = expand_home(name, asker)
    for folder in (beside, *CONFIG_DIRS):
        if name and (folder / name).is_file():
            return (folder / name).resolve()
    raise FileNotFoundError(
        f"{asker} names {name!r}, and there is no such config: {suggest(name, known_configs())}"
    )


def known_configs() -> list[str]:
    """The names that --config takes in every folder."""
    names = []
    for path in sorted(CONFIGS.rglob("*.yaml")):
        short = path.parent in CONFIG_DIRS and find_config(path.name, CONFIGS) == path
        names.append(path.name if short else path.relative_to(CONFIGS).as_posix())
    return names


def known_stages() -> list[str]:
    """The known configs that can be trained by themselves: no overlays, no shared bases."""
    excluded = ("mixtures/", "sweeps/", "ablations/")
    names = [n for n in known_configs() if not n.startswith(excluded) and Path(n).name != "base.yaml"]
    return [name for name in names if has_model(expand(find_config(name, CONFIGS)).values())]


def expand(
    path: Path, found: dict[Path, Settings] | None = None, above: tuple[Path, ...] = ()
) -> dict[Path, Settings]:
    """A config and all that it extends, each once: paths and settings, parents first.

    Args:
        path: the config.
        found: configs that are laid below this one, which are not laid over each other again; it is added to.
        above: the configs that extend this one.

    Raises:
        ValueError: one is not a config, or `extends` is circular or too deep.
        FileNotFoundError: one does not exist.
    """
    found = {} if found is None else found
    if path in above:
        circle = " -> ".join(p.name for p in (*above[above.index(path) :], path))
        raise ValueError(f"'extends' runs in a circle: {circle}")
    if len(above) > MAX_EXTENDS:
        raise ValueError(f"{path}: 'extends' leads more than {MAX_EXTENDS} configs deep")
    if path in found:
        return found
    settings = read_config(path)
    if "arms" in settings:
        name = path.relative_to(CONFIGS).as_posix() if path.is_relative_to(CONFIGS) else path
        raise ValueError(
            f"{path.name} is an ablation, of several arms: run `python -m experiments.ablate {name}`"
        )
    if "space" in settings and "base" in settings:
        raise ValueError(f"{path.name} is a sweep, of many trials: run `python sweep.py --config {path}`")
    for name in _parents(settings, path):
        expand(find_config(name, path.parent, f"'extends' in {path.name}"), found, (*above, path))
    found[path] = settings
    return found


def _parents(settings: Settings, path: Path) -> list[str]:
    parents = settings.get("extends") or []
    names = [parents] if isinstance(parents, str) else parents
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(
            f"{path}: extends is {parents!r}, and must be the name of a config, or a list of names"
        )
    return names


def read_config(path: Path) -> Settings:
    """The settings of a config file.

    Raises:
        ValueError: it is not YAML, or holds no settings.
    """
    settings = read_yaml(path)
    try:  # Lightning's parser reads it once more, and that as UTF-8
        path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8: save it as UTF-8") from None
    settings = {} if settings is None else settings
    if not isinstance(settings, dict):
        raise ValueError(f"{path} must hold 'key: value' lines, not a {type(settings).__name__}")
    for group in GROUPS:
        if not isinstance(settings.get(group, {}), dict):
            raise ValueError(f"{path}: {group} must hold 'key: value' lines, not {settings[group]!r}")
    return settings


def has_model(configs: Iterable[Settings]) -> bool:
    """Whether configs that are laid over each other name what is trained; those that do not are overlays."""
    models = [settings.get("model") for settings in configs]
    return any(isinstance(m, str) or (isinstance(m, dict) and "class_path" in m) for m in models)


def config_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """The keys in which two configs differ, each as "model.init_args.lr (0.1 -> 0.2)"; ~ is the home folder."""
    before, after = (flatten(expand_all(dict(one), strict=False)) for one in (old, new))
    keys = [
        key
        for key in differing_keys(before, after)
        if key.split(".")[0] not in IGNORED and key not in PER_SESSION
    ]
    return [f"{key} ({format_setting(before, key)} -> {format_setting(after, key)})" for key in keys]
