"""W&B and MLflow, really run on the smallest stage without a network, or reported as unreachable in one line."""

import functools
import importlib.util
import json
from pathlib import Path

import pytest
import torch

import train
from tests.tiny import BASE, TinyModule, error_of, write

AWAY = "http://127.0.0.1:9"  # a port that nothing listens at
COMMAND = ["--config", "base.yaml", "--trainer.enable_progress_bar", "false"]


def needs(package: str) -> pytest.MarkDecorator:
    missing = importlib.util.find_spec(package) is None
    return pytest.mark.skipif(missing, reason=f"{package} is not installed: the extra `track` has it")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty current folder with one config, and nobody logged in anywhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (
        "WANDB_API_KEY",
        "WANDB_BASE_URL",
        "WANDB_MODE",
        "MLFLOW_TRACKING_URI",
        "NETRC",
        "TRACEBACK",
    ):
        monkeypatch.delenv(name, raising=False)
    write("base.yaml", BASE | {"name": "deep/run"})


def forget() -> None:
    """Has wandb read the environment again."""
    import wandb

    wandb.teardown()


def cut_at(monkeypatch: pytest.MonkeyPatch, stop: int, *arguments: str) -> None:
    """A run that breaks off at a step."""
    step = TinyModule.training_step

    @functools.wraps(step)
    def broken(self: TinyModule, batch: torch.Tensor, batch_idx: int) -> torch.Tensor:
        if self.global_step == stop:
            raise KeyError("cut")
        return step(self, batch, batch_idx)

    with monkeypatch.context() as patch, pytest.raises(KeyError, match="cut"):
        patch.setattr(TinyModule, "training_step", broken)
        train.main([*COMMAND, *arguments])


@needs("wandb")
def test_wandb_keeps_a_run_offline_and_a_resume_goes_on_in_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cut_at(monkeypatch, 9, "--config", "wandb.yaml")
    assert sum("kept offline" in record.message for record in caplog.records) == 1
    run = train.main([*COMMAND, "--config", "wandb.yaml"])
    assert run.resume.step == 8
    known = json.loads(Path("runs/deep/run/tracking.json").read_text())["wandb"]
    files = list(Path("runs/deep/run/wandb").glob("offline-run-*/run-*.wandb"))
    assert len(files) == 2 and {file.stem for file in files} == {f"run-{known}"}
    written = b"".join(file.read_bytes() for file in files)
    for name in (
        b"train/loss",
        b"val/loss",
        b"grad_norm/layer",
        b"lr/layer",
        b"speed/steps_per_s",
        b"memory/peak",
        b"max_steps",
    ):
        assert name in written, name
    assert Path("runs/deep/run/metrics.csv").is_file() and not Path("wandb").exists()


@needs("wandb")
def test_wandb_that_is_unreachable_is_reported_or_refused(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture
) -> None:
    given = [*COMMAND, "--config", "wandb.yaml", "--trainer.max_steps", "2"]
    forget()
    assert "there is no API key" in error_of(capsys, *given, "--track.wandb.mode", "online")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", AWAY)
    forget()
    line = error_of(capsys, *given, "--track.wandb.mode", "online")
    assert f"{AWAY} does not answer" in line and "--track.wandb.mode offline" in line
    assert not Path("runs").exists()
    train.main(given)
    assert [r.message for r in caplog.records if "does not answer" in r.message] and Path(
        "runs/deep/run/wandb"
    ).is_dir()


@needs("mlflow")
def test_mlflow_keeps_settings_metrics_and_files_and_a_resume_goes_on_in_the_same_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from mlflow.tracking import MlflowClient

    cut_at(monkeypatch, 9, "--config", "mlflow.yaml")
    client = MlflowClient(f"sqlite:///{Path('runs/mlflow.db').resolve()}")
    known = json.loads(Path("runs/deep/run/tracking.json").read_text())["mlflow"]
    assert client.get_run(known).info.status == "FAILED"
    train.main([*COMMAND, "--config", "mlflow.yaml"])
    (experiment,) = [e for e in client.search_experiments() if e.name == "open-illume"]
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_id == known and run.info.run_name == "deep/run" and run.info.status == "FINISHED"
    assert run.data.params["model.init_args.lr"] == "0.05" and run.data.params["trainer.max_steps"] == "30"
    assert {
        "train/loss",
        "val/loss",
        "grad_norm/layer",
        "lr/layer",
        "speed/steps_per_s",
        "memory/peak",
    } <= run.data.metrics.keys()
    steps = [point.step for point in client.get_metric_history(known, "train/loss")]
    assert set(steps) == set(range(30)) and len(steps) == 31  # the ninth step is done again
    assert [file.path for file in client.list_artifacts(known)] == ["config.yaml"]
    assert (Path("runs/mlflow") / known).is_dir() and not Path("mlruns").exists()


@needs("mlflow")
def test_mlflow_that_is_unreachable_or_broken_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    given = [*COMMAND, "--config", "mlflow.yaml"]
    assert f"{AWAY} does not answer" in error_of(capsys, *given, "--track.mlflow.uri", AWAY)
    assert not list(Path("runs").rglob("*.csv"))
    Path("runs").mkdir(exist_ok=True)
    Path("runs/mlflow.db").write_text("no database")
    assert "mlflow.db cannot be used" in error_of(capsys, *given)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    assert "secret" not in error_of(capsys, *given)


@needs("wandb")
@needs("mlflow")
def test_both_at_once_and_images(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.tracking import MlflowClient
    from PIL import Image

    from training.loggers import log_image

    def draw(self: TinyModule) -> None:
        for logger in self.trainer.loggers:
            log_image(logger, "samples", Image.new("RGB", (8, 8), "red"), 1)

    monkeypatch.setattr(TinyModule, "on_train_end", draw)
    run = train.main(
        [*COMMAND, "--config", "wandb.yaml", "--config", "mlflow.yaml", "--trainer.max_steps", "2"]
    )
    kinds = [type(logger).__name__ for logger in run.trainer.loggers]
    assert kinds == ["AppendingCSVLogger"] * 2 + ["TensorBoardLogger", "WandbLogger", "MLFlowLogger"]
    client = MlflowClient(f"sqlite:///{Path('runs/mlflow.db').resolve()}")
    (file,) = client.list_artifacts(run.trainer.loggers[-1].run_id, "images")[:1]
    assert "samples" in file.path
    assert list(Path("runs/deep/run/wandb").rglob("samples*.png"))


@pytest.mark.parametrize("package", ["wandb", "mlflow"])
def test_a_missing_package_is_reported_with_its_extra(
    package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *of: None if name == package else find(name, *of)
    )
    line = error_of(capsys, *COMMAND, "--config", f"{package}.yaml")
    assert f"{package}.yaml needs {package}, which is not installed" in line
    assert "[track]" in line and not Path("runs").exists()


def test_tensorboard_has_the_settings_as_text_and_hparams() -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train.main([*COMMAND, "--trainer.max_steps", "2"])
    events = EventAccumulator("runs/deep/run/tensorboard")
    events.Reload()
    (text,) = events.Tensors("config/text_summary")
    assert b"max_steps: 2" in text.tensor_proto.string_val[0]
    assert "_hparams_/session_start_info" in events.summary_metadata
    assert {"train/loss", "grad_norm/layer", "speed/steps_per_s"} <= set(events.Tags()["scalars"])
    assert [point.step for point in events.Scalars("train/loss")] == [0, 1]


def test_an_evaluation_is_not_logged() -> None:
    train.main([*COMMAND, "--trainer.max_steps", "2"])
    if importlib.util.find_spec("mlflow") is None:
        pytest.skip("mlflow is not installed: the extra `track` has it")
    train.main(["validate", *COMMAND, "--config", "mlflow.yaml", "--trainer.max_steps", "2"])
    assert not Path("runs/mlflow.db").exists()
