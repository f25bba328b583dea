"""The chain with real configs and real data: each stage trains, is cut, goes on, and hands over to the next."""

import csv
import importlib
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

import demo
import train
from callbacks import self_enhancement
from evals.reports.curves import read_metrics
from evals.settings import PlaygroundSettings
from judges.assessment import Verdict
from judges.scene import SceneJudge
from lightning_modules.language import LanguageModule
from lightning_modules.optimization import RunLength
from models.unified import Illume
from self_enhancement import round as enhancement_round
from self_enhancement.round import Round
from self_enhancement.settings import RoundSettings
from tests.cut_off import cut_off
from tests.datamodules.tars import write_samples
from tests.ranks import forked
from training import consolidate_checkpoint as gather
from training.configs import CONFIGS
from training.param_group_metrics import parameter_table
from training.plan.plan import configure
from worlds.playground import shards

STAGES = ("language", "encoder", "tokenizer", "pixel_tokenizer", "detokenizer", "stage1", "stage2", "stage3")
SMALL = [
    "--checkpoint.every_n_steps",
    "2",
    "--trainer.log_every_n_steps",
    "1",
    "--trainer.enable_progress_bar",
    "false",
]
DATA = {"batches_per_epoch": 6, "val_batches": 1, "workers": 0}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with a little data, where runs/playground/... of the configs comes to lie."""
    folder = tmp_path_factory.mktemp("world")
    shards.main(["--out", str(folder / "runs/playground/data"), "--scale", "0.002", "--workers", "1"])
    return folder


def arguments(stage: str, steps: int = 6) -> list[str]:
    words = stage.startswith(("stage", "language", "self"))
    size = {"sequences_per_batch": 2} if words else {"batch_size": 4}
    data = [f"--data.init_args.{k}={v}" for k, v in (DATA | size).items()]
    stem = ["--model.init_args.stem_steps", "3"] if stage == "detokenizer" else []
    return ["--config", f"{stage}.yaml", "--trainer.max_steps", str(steps), *SMALL, *data, *stem]


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "metrics.csv") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_trains_is_cut_and_goes_on(stage, world, monkeypatch):
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
def test_every_stage_s_schedule_is_as_long_as_its_run(stage):
    """Of epochs, too: a number of steps that is read before there are data is -1."""
    sketch = train.sketch(
        ["--config", f"{stage}.yaml", "--trainer.max_steps", "-1", "--trainer.max_epochs", "2"]
    )
    configure(sketch, train.sketch)
    made = sketch.model.configure_optimizers()
    last = (made if isinstance(made, list) else [made])[-1]  # the detokenizer's stem has steps of its own
    (schedule,) = {id(one): one for one in last["lr_scheduler"]["scheduler"].lr_lambdas}.values()
    length = schedule.keywords["total"]
    assert isinstance(length, RunLength)
    assert length.less == (sketch.model.stem_steps if stage == "detokenizer" else 0)


def table_of_a_plan(stage: str) -> list[str]:
    """Which parts learn, as the plan of a stage has it whose predecessors are not there."""
    sketch = train.sketch(["--config", f"{stage}.yaml"])
    configure(sketch, train.sketch)
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
def test_configs_beside_the_chain_train(config, world, monkeypatch):
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


def test_no_config_is_left_out():
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
        (["language.yaml", "--model.init_args.text_tokenizer.siez=64"], "has no setting 'siez': did you mean size?"),
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
    told = [text for text in capsys.readouterr().err.splitlines() if "error" in text]
    assert stop.value.code == 2 and len(told) == 1 and line in told[0] and "Traceback" not in told[0]


def test_a_killed_process_goes_on_with_the_batches_it_would_have_had(world, monkeypatch):
    """kill -9 in the second epoch, with two workers reading ahead."""
    monkeypatch.chdir(world)
    given = [word for word in arguments("language", 12) if "workers" not in word] + [
        "--data.init_args.workers=2"
    ]
    whole = train.main([*given, "--name", "whole/killed"])
    command = [sys.executable, str(Path(train.__file__)), *given, "--name", "killed"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        metrics = Path("runs/killed/metrics.csv")
        deadline = time.monotonic() + 60
        while not (metrics.is_file() and len(rows(metrics.parent)) > 8):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        process.kill()
    again = train.main([*given, "--name", "killed"])
    assert again.resume.step > 0 and rows(again.folder) == rows(whole.folder)
    one, other = (load_file(run.folder / "model/language/model.safetensors") for run in (whole, again))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_what_was_skipped_is_in_the_run_folder_and_too_much_stops_it(world, monkeypatch, capsys):
    monkeypatch.chdir(world)
    good = {
        f"{i}": {"json": json.dumps({"parts": [{"text": f"number {i}", "learn": True}]}).encode()}
        for i in range(40)
    }
    broken = {"x": {"json": b"{"}, "y": {"json": b"[]"}, "z": {"txt": b"no document"}}
    write_samples(world / "torn/0.tar", good | broken)
    source = {"shards": "torn", "template": "document", "weight": 1.0}
    Path("torn.yaml").write_text(yaml.safe_dump({"data": {"init_args": {"sources": {"text": source}}}}))
    given = [*arguments("language", 12), "--config", "torn.yaml", "--name"]
    run = train.main([*given, "torn", "--data.init_args.max_skipped_fraction=0.5"])
    told = json.loads((run.folder / "skipped.json").read_text())
    assert told["skipped"] == 3 and {row["reason"]: row["samples"] for row in told["reasons"]} == {
        "a json cannot be read": 1,
        "a json is of another shape": 1,
        "a sample has no json": 1,
    }
    assert read_metrics(run.folder / "metrics.csv")["data/skipped"][-1][1] == 3
    with pytest.raises(SystemExit) as stop:
        train.main([*given, "stopped", "--data.init_args.max_skipped_fraction=0.001"])
    line = [text for text in capsys.readouterr().err.splitlines() if "error" in text][-1]
    assert stop.value.code == 2 and "samples were skipped" in line and "max_skipped_fraction 0.1%" in line
    assert json.loads((world / "runs/stopped/skipped.json").read_text())["skipped"] == 3


def test_two_ranks_go_on_where_they_were_cut(world, monkeypatch):
    """Rank 0 alone writes the checkpoint, and it holds where the readers of both stand."""
    monkeypatch.chdir(world)
    two = [
        "--trainer.devices=2",
        "--trainer.strategy=ddp_fork_find_unused_parameters_true",
        "--data.init_args.workers=2",
    ]
    given = [word for word in arguments("language") if "workers" not in word]
    whole = train.main([*given, *two, "--name", "whole/two"])
    with cut_off(LanguageModule, 3, Exception):
        train.main([*given, *two, "--name", "two"])
    again = train.main([*given, *two, "--name", "two"])
    assert again.resume.step == 2 and rows(again.folder) == rows(whole.folder)
    one, other = (load_file(run.folder / "model/language/model.safetensors") for run in (whole, again))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_sharded_run_is_cut_goes_on_and_is_gathered(world, monkeypatch):
    """FSDP2 on two processes, through the command line; its checkpoint becomes a model folder without them."""
    monkeypatch.chdir(world)
    given = [
        *arguments("language", 3),
        "--config",
        "fsdp.yaml",
        "--trainer.accelerator=cpu",
        "--trainer.devices=2",
    ]
    given += ["--trainer.precision=32-true", "--model.init_args.muon=[]", "--name", "sharded"]
    given += ["--speed.peak_tflops=0"]
    with cut_off(LanguageModule, 2, RuntimeError):
        forked(lambda rank: train.main(given) and None, 2)
    assert forked(lambda rank: train.main(given).resume.step, 2) == [2, 2]
    assert [row["step"] for row in rows(Path("runs/sharded")) if row["train/loss"]] == ["0", "1", "2"]
    gather.main(["runs/sharded", "--out", "gathered"])
    one, other = (
        load_file(f"{folder}/language/model.safetensors") for folder in ("runs/sharded/model", "gathered")
    )
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_last_stage_draws_and_answers(world):
    model = Illume.from_pretrained(str(world / "runs/playground/stage3/model"))
    image = model.draw_batch(["two red circles"], [1])
    assert image.shape == (1, 3, 48, 48)
    assert isinstance(model.ask_batch(image, ["what colour ?"])[0], str)
    assert model.understanding_encoder is not None


@pytest.fixture
def few_drawings(monkeypatch):
    """Rounds of eight drawings, in two batches; every second prompt is found to be met."""
    monkeypatch.setattr(enhancement_round, "BATCH", 4)

    class Half(SceneJudge):
        def assess(self, prompts, images):
            said = super().assess(prompts, images)
            right = {name: Verdict(ok=True, reason="") for name in said[0].verdicts}
            return [
                one if i % 2 else one.model_copy(update=GOOD | {"verdicts": right})
                for i, one in enumerate(said)
            ]

    monkeypatch.setattr(self_enhancement, "SceneJudge", Half)
    monkeypatch.setattr(RoundSettings, "__post_init__", lambda self: object.__setattr__(self, "count", 8))
    suite = self_enhancement.playground_suite
    few = PlaygroundSettings(per_category=1, seeds=1, samples=4)
    monkeypatch.setattr(self_enhancement, "playground_suite", lambda model, _: suite(model, few))


GOOD = {"overall": True, "score": 10}


def test_self_enhancement_teaches_what_it_drew_and_goes_on_wherever_it_is_cut(
    world, monkeypatch, few_drawings
):
    """Three epochs of six steps, a round after the first two; one death in each state of each round."""
    monkeypatch.chdir(world)
    # few documents wait for a row, so that a few steps are enough to meet the new ones
    given = [
        *arguments("self_enhancement", 18),
        "--data.init_args.look_ahead=4",
        "--data.init_args.readers=1",
    ]
    whole = train.main([*given, "--name", "whole/self"])
    rounds = sorted((whole.folder / "self_enhancement").iterdir())
    summaries = [json.loads((r / "summary.json").read_text()) for r in rounds]
    assert [(s["good"], s["bad"], s["second_turns"]) for s in summaries] == [(4, 4, 4)] * 2
    weights = {name: c.weight for name, c in whole.datamodule.sources.items() if "enhancement" in name}
    assert sum(weights.values()) == pytest.approx(0.25 / 0.75, abs=1e-6) and len(weights) == 2
    told = [row for row in rows(whole.folder) if row.get("self_enhancement/good")]
    assert [row["self_enhancement/dialogues"] for row in told] == ["24.0", "24.0"]
    assert any(float(row.get("data/tokens_self_enhancement_1") or 0) > 0 for row in rows(whole.folder))

    record = json.loads((whole.folder / "self_enhancement.json").read_text())
    assert [r["own"]["asked"] for r in record["rounds"]] == [8, 8]
    assert record["before"].keys() == record["after"].keys() and "vqa/accuracy" in record["before"]
    assert (whole.folder / "self_enhancement.html").is_file()

    deaths = 0
    for method in ("draw", "judge", "write"):
        original = getattr(Round, method)

        def dies(self, *args, original=original, method=method):
            result = original(self, *args) if method == "write" else None
            marker = self.folder / f"died-{method}"
            if not marker.exists():
                marker.write_text("")
                raise KeyError("cut")
            return result if method == "write" else original(self, *args)

        monkeypatch.setattr(Round, method, dies)
    again = None
    while again is None and deaths <= 6:
        try:
            again = train.main([*given, "--name", "self"])
        except KeyError as death:
            assert death.args == ("cut",)
            deaths += 1
    assert deaths == 6 and again.resume.step in (12, 14)
    assert json.loads((again.folder / "self_enhancement.json").read_text()) == record
    assert rows(again.folder) == rows(whole.folder)
    one, other = (load_file(run.folder / "model/language/model.safetensors") for run in (whole, again))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_pool_that_is_gone_is_told_by_name(world, monkeypatch, few_drawings, capsys):
    monkeypatch.chdir(world)
    given = [*arguments("self_enhancement", 12), "--name", "gone"]
    with cut_off(LanguageModule, 9):
        train.main(given)
    (shard,) = Path("runs/gone/self_enhancement").rglob("*.tar")
    shard.unlink()
    with pytest.raises(SystemExit) as stop:
        train.main(given)
    told = [text for text in capsys.readouterr().err.splitlines() if "error" in text]
    assert stop.value.code == 2 and len(told) == 1 and shard.name in told[0]


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


def test_no_shards_is_said(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        train.main(arguments("language"))
    assert stop.value.code == 2
    assert "no shards at runs/playground/data/text" in capsys.readouterr().err
    assert not list(tmp_path.iterdir()), "nothing is left behind"


@pytest.mark.parametrize(
    "path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda p: p.relative_to(CONFIGS).as_posix()
)
def test_every_config_names_real_classes_and_arguments(path):
    settings = yaml.safe_load(path.read_text())
    assert path.read_text().startswith("#"), "a config begins by saying what it is"
    for part in ("model", "data"):
        if "class_path" not in settings.get(part, {}):
            continue
        module, name = settings[part]["class_path"].rsplit(".", 1)
        accepted = importlib.import_module(module).__dict__[name].__init__.__annotations__
        assert set(settings[part].get("init_args", {})) <= set(accepted)


def test_only_the_parts_of_table_5_learn(world):
    for stage, parts in {
        "stage1": {"adapter", "vision"},
        "stage3": {"adapter", "trunk", "text", "vision", "understanding_encoder"},
    }.items():
        rates = yaml.safe_load((CONFIGS / f"playground/{stage}.yaml").read_text())["model"]["init_args"][
            "rates"
        ]
        assert set(rates) == parts
    before = Illume.from_pretrained(str(world / "runs/playground/language/model")).language.state_dict()
    after = Illume.from_pretrained(str(world / "runs/playground/stage1/model")).language.state_dict()
    moved = {name for name in before if not before[name].equal(after[name])}
    assert moved and all(name.startswith(("adapter", "vision", "position_embedding")) for name in moved)
    assert json.loads((world / "runs/playground/stage1/finished.json").read_text())["step"] == 6


@pytest.mark.parametrize("stage", ["stage1", "stage2", "stage3"])
def test_what_the_codes_mean_is_frozen_for_ever(stage, world):
    runs = world / "runs/playground"
    before = Illume.from_pretrained(str(runs / "detokenizer/model"))
    after = Illume.from_pretrained(str(runs / stage / "model"))
    for part in ("encoder", "tokenizer", "detokenizer"):  # batch statistics and the codebook among them
        old, new = getattr(before, part).state_dict(), getattr(after, part).state_dict()
        assert all(new[name].equal(value) for name, value in old.items()), part
