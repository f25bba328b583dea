"""Bytes and operations counted from a model's sizes, and the time that the hardware allows for them."""

from benchmarks import drawing
from benchmarks.roofline import Work, decode_work, prefill_work, trunk_weights


def test_work_is_counted_from_the_sizes():
    model = drawing.our_model((64, 2, 96), tokens=3)
    weights = 2 * (4 * 64 * 64 + 3 * 64 * 96)
    assert trunk_weights(model) == weights
    work = decode_work(model, rows=4, sampled_rows=2, head=100, prompt=5, tokens=3)
    keys = 6 + 7  # keys of the first two tokens' steps; the last token is not read
    assert work.bytes == 4 * (2 * weights + 3 * 6400 + 4 * 2 * 2 * 64 * keys)
    assert work.operations == 2 * (2 * 4 * weights + 3 * 2 * 6400 + 2 * 4 * 2 * 64 * keys)
    work = prefill_work(model, 10) + Work(1, 2)
    assert (work.bytes, work.operations, work.working_set) == (4 * weights + 1, 20 * weights + 2, 4 * weights)


def test_the_roofline_is_the_larger_of_two_times(monkeypatch):
    monkeypatch.setattr("benchmarks.roofline.bandwidth", lambda size, device: 100.0)
    monkeypatch.setattr("benchmarks.roofline.product_rate", lambda device, dtype: 10.0)
    found = Work(bytes=200, operations=50).roofline(10.0)
    assert (found["allowed_seconds"], found["bound_by"], found["share"]) == (5.0, "operations", 0.5)
    assert Work(bytes=700, operations=50).roofline(10.0)["bound_by"] == "bytes"
