"""Benchmarks run, and compare what they say they compare."""

import json
import random
import sys
from xml.etree import ElementTree

import pytest
import torch

from benchmarks import answering, cost, data, drawing, loss, packing, quantizer, start_up, step, training
from benchmarks.harness import flat, in_turn
from benchmarks.log_plot import Series, panels
from benchmarks.model_work import products_of, writing
from benchmarks.roofline import Work


def test_packed_and_padded_batches_hold_the_same_documents():
    packed, padded = packing.batches(packing.PLAYGROUND, rows=4, count=2)
    ours, theirs = ([sorted(b.ids[b.documents >= 0].tolist()) for b in made] for made in (packed, padded))
    assert sorted(sum(ours, [])) == sorted(sum(theirs, []))
    assert all(batch.documents.max() == 0 for batch in padded)


def test_rows_of_stage_3_are_full():
    assert data.packing(rows=200)["packed"] > 0.97


def test_a_stream_is_measured_and_resumed(tmp_path):
    shards = data.make_shards(tmp_path, 2, 10, 32)
    assert data.bare(shards, 0.1) > 0 and data.ours(shards, 0.1) > 0
    assert data.resume(shards=3, samples=5)["resume_seconds"] > 0


def test_a_document_takes_tokens_for_its_words_and_its_image(tmp_path):
    torch.manual_seed(0)
    sample = next(iter(data.wds.WebDataset(data.make_shards(tmp_path, 1, 1, 32), shardshuffle=False)))
    assert len(data._document(sample, random.Random(0))) > 258


def test_the_peers_of_drawing_write_what_we_write():
    model = drawing.our_model(64, 2, 96, tokens=6)
    prompts = torch.randint(3, drawing.TEXT, (3, 5), generator=torch.Generator().manual_seed(1))
    nulls = prompts[:1].expand(3, -1).clone()
    ours = drawing.our_draw(model, prompts, nulls)
    theirs = drawing.generate_draw(model, prompts, nulls)
    assert torch.equal(ours(True), theirs(True)) and theirs(False).shape == (3, 6)
    assert 0 <= int(theirs(False).min()) <= int(theirs(False).max()) < drawing.CODES
    theirs, asked, without = drawing.janus_draw(model, prompts)
    ours = drawing.our_draw(model, asked, without)
    assert torch.equal(ours(True), theirs(True)) and theirs(False).shape == (3, 6)
    assert 0 < drawing.matrix_share(ours) < 1


def test_both_losses_are_measured_and_agree():
    found = loss.measure(tokens=1500, width=8, rounds=1)  # more logits than are made whole
    assert found["largest_difference"] < 1e-4 and found["seconds_over_full"] > 0
    assert 250 < found["full_mib"] < 2500 and found["chunked_mib"] < 0.5 * found["full_mib"]


def test_answers_of_both_sides_are_the_same_and_of_different_lengths():
    model = answering.our_model(128, 3, 256)
    prompts, features = answering.questions(model)
    ours = answering.write_text(model, prompts, features, answering.LIMIT)
    assert ours == answering.generate_answer(model, prompts, features)()
    assert len({len(answer) for answer in ours}) > 3 and len({len(p) for p in prompts}) > 3


def test_without_its_peer_the_quantizer_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "vector_quantize_pytorch", None)
    with pytest.raises(SystemExit) as stop:
        quantizer.main(["--rounds", "1"])
    assert stop.value.code == 2 and "'.[bench]'" in capsys.readouterr().err


def test_stage_3_is_trained_without_images_at_its_full_lengths():
    tasks = training.mix()["tasks"]
    assert max(task["words"][1] for task in tasks) > 2560 and not any(task["seen"] for task in tasks)


def test_the_first_step_is_waited_for_and_its_absence_told(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(
        "import pathlib, time\npathlib.Path('runs/one').mkdir(parents=True)\n"
        "pathlib.Path('runs/one/metrics.csv').write_text('step\\n0\\n')\ntime.sleep(60)"
    )
    assert 0 < start_up.first_step(tmp_path, "one", [sys.executable, str(script)]) < 30
    with pytest.raises(RuntimeError, match="no first step: .*what is this"):
        start_up.first_step(tmp_path, "two", [sys.executable, "-c", "raise SystemExit('what is this')"])


def test_the_cost_of_images_is_drawn(monkeypatch, capsys, tmp_path):
    for name, value in (("SMALL", (64, 1, 32)), ("MODELS", ((64, 1, 32), (64, 2, 32))), ("COUNT", 4)):
        monkeypatch.setattr(cost, name, value)
    cost.main(f"--batches 1 2 --tokens 2 3 --rounds 1 --json --svg {tmp_path / 'cost.svg'}".split())
    found = json.loads(capsys.readouterr().out)
    assert set(found["batch"]) == {"1", "2"} and len(found["parameters"]) == 2
    for at in found["tokens"].values():  # how large it is, on a busy machine, is nobody's to say
        assert at["share"] == pytest.approx(
            at["allowed_an_image"] / at["seconds_an_image"], rel=0.05, abs=2e-3
        )
    picture = ElementTree.parse(tmp_path / "cost.svg")
    assert len(picture.findall("{*}polyline")) == 6
    assert cost.parameters((64, 2, 32)) == 2 * (4 * 64 * 64 + 3 * 64 * 32) + cost.CODES * 64


def test_panels_share_a_scale_upwards():
    picture = ElementTree.fromstring(
        panels(
            {"a": [Series("measured", [(1, 0.1), (10, 1.0)])], "b & c": [Series("allowed", [(1, 1.0)])]}, "s"
        )
    )
    first, second = (
        [float(point.split(",")[1]) for point in line.get("points").split()]
        for line in picture.findall("{*}polyline")
    )
    assert first[1] == second[0] < first[0]


def test_what_writing_takes_is_counted_from_the_sizes():
    model = drawing.our_model(64, 2, 96, tokens=3)
    weights = 2 * (4 * 64 * 64 + 3 * 64 * 96)
    assert products_of(model) == weights
    work = writing(model, rows=4, choosing=2, head=100, before=5, tokens=3)
    looked = 6 + 7  # keys of the first two tokens' steps; the last token is not read
    assert work.bytes == 4 * (2 * weights + 3 * 6400 + 4 * 2 * 2 * 64 * looked)
    assert work.operations == 2 * (2 * 4 * weights + 3 * 2 * 6400 + 2 * 4 * 2 * 64 * looked)


def test_the_roofline_is_the_larger_of_two_times(monkeypatch):
    monkeypatch.setattr("benchmarks.roofline.bandwidth", lambda size, device: 100.0)
    monkeypatch.setattr("benchmarks.roofline.product_rate", lambda device, dtype: 10.0)
    found = Work(bytes=200, operations=50).beside(10.0)
    assert (found["allowed_seconds"], found["bound_by"], found["share"]) == (5.0, "operations", 0.5)
    assert Work(bytes=700, operations=50).beside(10.0)["bound_by"] == "bytes"


def test_sides_take_turns():
    order = []
    found = in_turn(lambda: order.append("theirs") or 2.0, lambda: order.append("ours") or 1.0, 2)
    assert order == ["theirs", "ours"] * 2 and found == ([2.0, 2.0], [1.0, 1.0])
    assert dict(flat({"a": {"b": 1}, "c": 2})) == {"a.b": 1, "c": 2}


def test_a_training_step_counts_its_products(capsys):
    step.main(["--rounds", "1", "--tokens", "64", "--documents", "2", "--checkpointing", "--json"])
    found = json.loads(capsys.readouterr().out)
    width, layers, between = step.SMALL
    products = layers * (4 * width * width + 3 * width * between)
    rows = (
        found["parameters"] - products
    )  # embeddings, adapter and norms beside the head, which alone multiplies
    assert 6 * 64 * products < found["tflop"] * 1e12 < 6 * 64 * (products + rows)
    assert 0 < found["share_of_matrix_rate"] < 1.5 and found["loss"] < 12
    with pytest.raises(SystemExit) as stop:
        step.main(["--tokens", "64", "--documents", "65"])
    assert stop.value.code == 2 and "--documents is between 1 and --tokens" in capsys.readouterr().err
