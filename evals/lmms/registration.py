"""What lmms-eval finds under its entry point `lmms_eval.models`: the name of the model and the class that answers."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lmms_eval.models.registry_v2 import ModelManifest


def manifest() -> "ModelManifest":
    """The entry of `--model illume` in lmms-eval's registry; nothing heavy is imported until it is chosen."""
    from lmms_eval.models.registry_v2 import ModelManifest

    return ModelManifest(model_id="illume", chat_class_path="evals.lmms.adapter.IllumeChat")
