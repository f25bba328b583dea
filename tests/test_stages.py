"""The chain with real configs and real data: each stage trains, is cut, goes on, and hands over to the next."""

import json
import re
from pathlib import Path

import pytest
import yaml

import demo
import train
from evals.reports.curves import read_metrics
from lightning_modules.optimization import RunLength
from models.unified import Illume
from tests.chain import STAGES, arguments, rows, small_evaluation, world
from tests.cut_off import cut_off
from training.configs import CONFIGS
from training.param_group_metrics import parameter_table
from training.plan.plan import configure

__all__ = ["small_evaluation", "world"]


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_trains_and_resumes_exactly(stage, world, monkeypatch):
    monkeypatch.chdir(world)
    whole = train.main([*arguments(stage), "--name", f"whole/{stage}"])
    module = type(whole.model)
    with cut_off(module, 3):
        train.main(arguments(stage))
    away = [path.rename(path.with_name("away")) for path in Path("runs/playground").glob("*/model")]
    assert away or stage == "language"
    assert table_of_a_plan(stage) == parameter_table(whole.trainer.optimizers, whole.model)
    again = train.main(arguments(stage))  # a checkpoint needs no predecessor
    for path in away:
        path.rename(path.with_name("model"))
    assert again.resume.step == 2
    assert rows(again.folder) == rows(whole.folder)
    parts = Illume.from_pretrained(str(again.folder / "model"))
    assert parts is not None
    assert_names_are_documented(whole.folder, stage)


@pytest.mark.parametrize("stage", STAGES)
def test_schedules_are_as_long_as_their_runs(stage):
    """Of epochs, too: a number of steps that is read before there are data is -1."""
    sketch = train.build_modules(
        ["--config", f"{stage}.yaml", "--trainer.max_steps", "-1", "--trainer.max_epochs", "2"]
    )
    configure(sketch, train.build_modules)
    made = sketch.model.configure_optimizers()
    last = (made if isinstance(made, list) else [made])[-1]  # the detokenizer's stem has steps of its own
    (schedule,) = {id(one): one for one in last["lr_scheduler"]["scheduler"].lr_lambdas}.values()
    length = schedule.keywords["total"]
    assert isinstance(length, RunLength)
    assert length.less == (sketch.model.stem_steps if stage == "detokenizer" else 0)


def table_of_a_plan(stage: str) -> list[str]:
    """Which parts learn, as the plan of a stage has it whose predecessors are not there."""
    sketch = train.build_modules(["--config", f"{stage}.yaml"])
    configure(sketch, train.build_modules)
    made = sketch.model.configure_optimizers()
    optimizers = [one["optimizer"] for one in (made if isinstance(made, list) else [made])]
    return parameter_table(optimizers, sketch.model)


def assert_names_are_documented(folder: Path, stage: str) -> None:
    """A stage logs what the table of docs/use/dashboards.md says that it logs, and nothing else."""
    names = {name for file in ("metrics.csv", "machine.csv") for name in read_metrics(folder / file)}
    assert names > {"train/loss"}
    matched, lost = set(), []
    for patterns, stages in documented_names():
        if not {"all", stage, f"({stage})"} & set(stages):
            continue
        for pattern in patterns:
            words = [re.escape(part) for part in re.split(r"<[a-z]+>", pattern)]
            found = {name for name in names if re.fullmatch(r"[a-zA-Z0-9_/]+".join(words), name)}
            matched |= found
            if not found and f"({stage})" not in stages:
                lost.append(pattern)
    assert not lost, f"{stage} does not log {lost}"
    assert names == matched, (
        f"docs/use/dashboards.md does not say that {stage} logs {sorted(names - matched)}"
    )


def documented_names() -> list[tuple[list[str], list[str]]]:
    """Of each row of the table of names: the names, with <part> where any word may stand, and the stages."""
    page = (Path(train.__file__).parent / "docs/use/dashboards.md").read_text()
    table = page.split("| name | stages |")[1].split("\n\n")[0].splitlines()[2:]
    cells = [line.strip("|").split("|") for line in table]
    return [
        (re.findall("`([^`]+)`", names), stages.replace(" ", "").split(",")) for names, stages, *_ in cells
    ]


ARMS = ["self_enhancement/baseline", "self_enhancement/assessment", "self_enhancement/pairs"]
ARMS += ["joint/joint", "joint/generation", "joint/understanding"]
ABLATIONS = {
    "ablations/self_enhancement",
    "ablations/joint",
}  # not one run but several: tests/experiments/test_ablate.py
OTHERS = ["ablations/no_stem", *(f"playground/reference/{stage}" for stage in STAGES if stage in demo.OWN)]
OTHERS += [f"playground/reference/{stage}" for stage in demo.SCALES["reference"].more]
OTHERS += [f"ablations/{arm}" for arm in ARMS]


@pytest.mark.parametrize("config", OTHERS)
def test_configs_outside_the_chain_train(config, world, monkeypatch):
    monkeypatch.chdir(world)
    data = Path("runs/reference/data")
    data.parent.mkdir(exist_ok=True)
    if not data.exists():
        data.symlink_to(Path("runs/playground/data").resolve())
    if not Path("pretrained").exists():  # where the arms of self-enhancement start
        Path("pretrained").mkdir()
        Path("pretrained/playground").symlink_to(Path("runs/playground/stage3/model").resolve())
    like = config.removeprefix("ablations/") in ARMS or config.endswith("/edits")
    stage = "stage3" if like else config.rpartition("/")[2]
    run = train.main(["--config", f"{config}.yaml", *arguments(stage, 4)[2:]])
    assert run.finished and len([r for r in rows(run.folder) if r["train/loss"]]) == 4
    assert Illume.from_pretrained(str(run.folder / "model")).encoder is not None


def test_every_config_is_tested():
    paths = {path.relative_to(CONFIGS).as_posix().removesuffix(".yaml") for path in CONFIGS.rglob("*.yaml")}
    ours = {*(f"playground/{stage}" for stage in STAGES), *OTHERS}
    mixtures = {f"mixtures/stage{number}" for number in (1, 2, 3)}  # of data that are not here
    elsewhere = {"playground/base", "ablations/figure6", "playground/self_enhancement"}  # tests of their own
    elsewhere |= {
        "sweeps/stage2",
        "sweeps/language",
        "fid",
        "geneval",
        "genai_bench",
        "editing",
        "wandb",
        "mlflow",
        "fsdp",
        "ddp",
        "npu",
        "profile",
    }
    scale = {
        "detokenizer",
        "tokenizer",
        "base",
        "stage1",
        "stage2",
        "stage3",
    }  # tests/test_published_chain.py
    elsewhere |= (
        {f"illume_7b/{name}" for name in scale} | {f"illume_3b/stage{n}" for n in (1, 2, 3)} | {"lora"}
    )
    assert paths == ours | ABLATIONS | mixtures | elsewhere


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        (
            ["encoder.yaml", "--model.init_args.encoder.widht=64"],
            "has no setting 'widht': did you mean width?",
        ),
        (["language.yaml", "--model.init_args.language.see_token=9"], "has no setting 'see_token'"),
        (
            ["language.yaml", "--model.init_args.text_tokenizer.siez=64"],
            "has no setting 'siez': did you mean size?",
        ),
        (
            ["detokenizer.yaml", "--model.init_args.tokenizer=runs/playground/pixel_tokenizer/model"],
            "pixel tokenizer",
        ),
        (
            ["stage2.yaml", "--data.init_args.sequence_length=20"],
            "the document is longer than sequence_length 20",
        ),
    ],
)
@pytest.mark.parametrize("workers", [0, 1])
def test_a_wrong_setting_is_one_line(setting, line, workers, world, monkeypatch, capsys):
    monkeypatch.chdir(world)
    config, change = setting
    given = [word for word in arguments(config.removesuffix(".yaml")) if "workers" not in word]
    with pytest.raises(SystemExit) as stop:
        train.main(
            [*given, change, f"--data.init_args.workers={workers}", "--name", f"wrong/{config}{workers}"]
        )
    lines = [text for text in capsys.readouterr().err.splitlines() if "error" in text]
    assert stop.value.code == 2 and len(lines) == 1 and line in lines[0] and "Traceback" not in lines[0]


def test_the_model_of_the_last_stage_draws_and_answers(world):
    model = Illume.from_pretrained(str(world / "runs/playground/stage3/model"))
    image = model.draw_batch(["two red circles"], [1])
    assert image.shape == (1, 3, 48, 48)
    assert isinstance(model.ask_batch(image, ["what colour ?"])[0], str)
    assert model.understanding_encoder is not None


def test_a_missing_predecessor_names_the_command_that_makes_it(world, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/playground").mkdir()
    (tmp_path / "runs/playground/data").symlink_to(world / "runs/playground/data")
    with pytest.raises(SystemExit) as stop:
        train.main(arguments("stage2"))
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert stop.value.code == 2
    assert "starts from runs/playground/stage1/model, which is not there" in line
    assert "python train.py --config stage1.yaml" in line
    assert [path.name for path in (tmp_path / "runs/playground").iterdir()] == ["data"], (
        "nothing is left behind"
    )


def test_only_the_components_of_table_5_are_trained(world):
    for stage, components in {
        "stage1": {"adapter", "vision"},
        "stage3": {"adapter", "trunk", "text", "vision", "understanding_encoder"},
    }.items():
        model = yaml.safe_load((CONFIGS / f"playground/{stage}.yaml").read_text())["model"]
        assert set(model["init_args"]["learning_rates"]) == components
    before = Illume.from_pretrained(str(world / "runs/playground/language/model")).language.state_dict()
    after = Illume.from_pretrained(str(world / "runs/playground/stage1/model")).language.state_dict()
    moved = {name for name in before if not before[name].equal(after[name])}
    assert moved and all(name.startswith(("adapter", "vision", "position_embedding")) for name in moved)
    assert json.loads((world / "runs/playground/stage1/finished.json").read_text())["step"] == 6


@pytest.mark.parametrize("stage", ["stage1", "stage2", "stage3"])
def test_encoder_tokenizer_and_detokenizer_stay_frozen(stage, world):
    runs = world / "runs/playground"
    before = Illume.from_pretrained(str(runs / "detokenizer/model"))
    after = Illume.from_pretrained(str(runs / stage / "model"))
    for part in ("encoder", "tokenizer", "detokenizer"):  # batch statistics and the codebook among them
        old, new = getattr(before, part).state_dict(), getattr(after, part).state_dict()
        assert all(new[name].equal(value) for name, value in old.items()), part
