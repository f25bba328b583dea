"""A diffusers folder is read whole, or what it lacks is reported: shards, keys, pickles, hub."""

import fnmatch
import json
import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import load_file, save_file

from models.detokenizer import diffusers_folder
from models.detokenizer.stable_diffusion import StableDiffusionDetokenizer
from tests.tiny_stable_diffusion import save_stable_diffusion

SIZES = {"feature_width": 8, "grid": 3, "image_size": 24, "condition": "cross_attention"}
NAME = "diffusion_pytorch_model.safetensors"


def load(folder: Path | str, **settings) -> StableDiffusionDetokenizer:
    return StableDiffusionDetokenizer.from_diffusers(str(folder), **SIZES | settings)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A whole one."""
    return save_stable_diffusion(tmp_path / "sd", "1.5")


@pytest.fixture
def weights(folder: Path) -> dict[str, torch.Tensor]:
    """What its UNet holds."""
    return load_file(folder / "unet" / NAME)


def same(made: StableDiffusionDetokenizer, weights: dict[str, torch.Tensor]) -> bool:
    mine = made.unet.state_dict()
    return mine.keys() == weights.keys() and all(mine[name].equal(weights[name]) for name in weights)


def test_weights_outlive_their_folder(folder, weights):
    made = load(folder)
    shutil.rmtree(folder)
    assert same(made, weights)
    assert all(p.device.type == "cpu" and p.dtype == torch.float32 for p in made.parameters())


def test_shards(tmp_path, weights):
    several = save_stable_diffusion(tmp_path / "several", "1.5", max_shard_size="60KB")
    shards = sorted((several / "unet").glob("*-of-*.safetensors"))
    assert len(shards) > 2 and same(load(several), weights)
    for shard in shards[:2]:
        shard.unlink()
    with pytest.raises(FileNotFoundError, match=f"lacks 2 of {len(shards)} files: {shards[0].name}"):
        load(several)
    index = several / "unet" / f"{NAME}.index.json"
    for broken, line in (
        ("{}", "is no index"),
        ('{"weight_map": {"a": "../../x"}}', "names files outside its folder"),
    ):
        index.write_text(broken)
        with pytest.raises(ValueError, match=line):
            load(several)


def test_pickles_are_refused_unless_they_are_asked_for(tmp_path, weights):
    old = save_stable_diffusion(tmp_path / "old", "1.5", safe_serialization=False)
    with pytest.raises(
        ValueError, match=r"unet has only pickled weights \(diffusion_pytorch_model.bin\).*pickled: true"
    ):
        load(old)
    assert same(load(old, pickled=True), weights)
    torch.save({"conv_in.weight": Path("not a tensor")}, old / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(ValueError, match="does not load"):
        load(old, pickled=True)


def test_a_variant(folder, weights):
    half = {name: tensor.half() for name, tensor in weights.items()}
    save_file(half, folder / "unet" / "diffusion_pytorch_model.fp16.safetensors")
    (folder / "unet" / NAME).unlink()
    with pytest.raises(FileNotFoundError, match="it has diffusion_pytorch_model.fp16.safetensors"):
        load(folder)
    (folder / "vae" / NAME).rename(folder / "vae" / "diffusion_pytorch_model.fp16.safetensors")
    assert same(load(folder, variant="fp16"), {name: tensor.float() for name, tensor in half.items()})


def test_old_attention_names_are_translated(folder):
    path = folder / "vae" / NAME
    new = load_file(path)
    names = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    old = {}
    for name, tensor in new.items():
        for now, once in names.items():
            name = name.replace(f"attentions.0.{now}.", f"attentions.0.{once}.")
        old[name] = tensor
    assert old.keys() != new.keys()
    save_file(old, path)
    made = load(folder).vae.state_dict()
    assert all(made[name].equal(tensor) for name, tensor in new.items())


def without_its_end(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in tensors.items() if not name.startswith("conv_out")}


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (without_its_end, "unet lacks 2 tensors: conv_out.weight, conv_out.bias"),
        (lambda w: w | {"extra": torch.zeros(1)}, "unet has unknown 1 tensors: extra"),
        (
            lambda w: w | {"conv_out.bias": torch.zeros(7)},
            r"unet has misshapen 1 tensors: conv_out.bias \(7,\) for \(4,\)",
        ),
    ],
)
def test_wrong_tensors_are_named_and_counted(damage, line, folder, weights):
    save_file(damage(weights), folder / "unet" / NAME)
    with pytest.raises(ValueError, match=line):
        load(folder)


def test_a_truncated_file_is_refused(folder):
    path = folder / "vae" / NAME
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=f"{NAME} is no safetensors file, or is damaged or cut short"):
        load(folder)


@pytest.mark.parametrize("part", ["unet", "vae", "scheduler"])
def test_a_missing_component_is_refused(part, folder):
    shutil.rmtree(folder / part)
    with pytest.raises(FileNotFoundError, match=f"is no Stable Diffusion: there is no {part}/"):
        load(folder)


@pytest.mark.parametrize(
    ("part", "content", "line"),
    [
        ("unet/config.json", "{", "not valid JSON"),
        ("unet/config.json", "[]", "must hold a JSON object, not a list"),
        ("vae/config.json", '{"_class_name": "AutoencoderTiny"}', "is of class AutoencoderTiny"),
        ("scheduler/scheduler_config.json", '{"_class_name": "EDMEulerScheduler"}', "is of class EDMEuler"),
    ],
)
def test_configs_of_another_kind_are_refused(part, content, line, folder):
    (folder / part).write_text(content)
    with pytest.raises(ValueError, match=line):
        load(folder)


def test_settings_override_the_folders_and_wrong_ones_fail_first(folder, weights):
    made = load(folder, scheduler={"timestep_spacing": "trailing"})
    assert made.scheduler["timestep_spacing"] == "trailing" and made.scheduler["beta_end"] == 0.012
    assert json.loads(json.dumps(made.config)) == made.config
    (folder / "unet" / NAME).unlink()
    with pytest.raises(ValueError, match="has no setting 'guidence': did you mean guidance"):
        load(folder, guidence=1.0)
    with pytest.raises(ValueError, match="image_size 25"):
        load(folder, image_size=25)


class Hub:
    """Stands where the hub is: a repository with other weights and parts beside those that are needed."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder, self.cache, self.asked = folder, cache, 0
        for other in ("unet/diffusion_pytorch_model.fp16.safetensors", "vae/diffusion_pytorch_model.bin"):
            (folder / other).write_bytes(b"")
        for other in ("text_encoder/model.safetensors", "vae_1_0/diffusion_pytorch_model.safetensors"):
            (folder / other).parent.mkdir()
            (folder / other).write_bytes(b"")

    def __call__(self, name: str, allow_patterns: list[str]) -> str:
        if name != "someone/sd":
            raise LocalEntryNotFoundError("no network\nand nothing cached")
        self.asked += 1
        for path in filter(Path.is_file, self.folder.rglob("*")):
            short = path.relative_to(self.folder)
            if any(fnmatch.fnmatch(str(short), pattern) for pattern in allow_patterns):
                (self.cache / short).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, self.cache / short)
        return str(self.cache)


def test_only_needed_files_are_downloaded(folder, weights, tmp_path, monkeypatch):
    hub = Hub(folder, tmp_path / "cache")
    monkeypatch.setattr(diffusers_folder, "snapshot_download", hub)
    with pytest.raises(ValueError, match="image_size 25"):
        load("someone/sd", image_size=25)
    assert not list(hub.cache.rglob("*.safetensors")), "sizes are checked before weights are fetched"
    assert same(load("someone/sd"), weights)
    fetched = {path.relative_to(hub.cache).as_posix() for path in hub.cache.rglob("*") if path.is_file()}
    assert fetched == {
        "unet/config.json", f"unet/{NAME}", "vae/config.json", f"vae/{NAME}", "scheduler/scheduler_config.json",
    }  # fmt: skip
    with pytest.raises(FileNotFoundError, match="other/sd is no folder here.*no network and nothing cached"):
        load("other/sd")
    for path in ("./someone/sd", "/nowhere", "runs/a/b"):
        with pytest.raises(FileNotFoundError, match="there is no folder"):
            load(path)
