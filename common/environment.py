"""Environment variables in configs: all but secrets, which a run's config.yaml would keep."""

import re
from typing import Any

from omegaconf import OmegaConf
from omegaconf.resolvers import oc

SECRET = re.compile(r"key|token|secret|passw|passphrase|pwd|credential|auth|cookie|private", re.IGNORECASE)
MISSING = object()


def read_variable(name: Any, default: Any = MISSING) -> Any:
    """`${oc.env:NAME}` and `${oc.env:NAME,default}` of a config.

    Raises:
        ValueError: its name is that of a secret.
        KeyError: it is not set, and there is no default.
    """
    if SECRET.search(str(name)):
        raise ValueError(
            f"${{oc.env:{name}}} would be written into the run's config.yaml: whatever needs a secret reads the "
            "environment itself, as key_variable of a judge names it"
        )
    return oc.env(name) if default is MISSING else oc.env(name, default)


def refuse_secrets() -> None:
    """Makes configs refuse to read secrets, from now on."""
    OmegaConf.register_resolver("oc.env", read_variable, replace=True)
