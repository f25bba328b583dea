"""The benchmark of the chunked loss."""

from benchmarks import loss


def test_both_losses_are_measured_and_agree():
    found = loss.measure(tokens=1500, width=8, rounds=1)  # more logits than are made whole
    assert found["largest_difference"] < 1e-4 and found["seconds_over_full"] > 0
    assert 250 < found["full_mib"] < 2500 and found["chunked_mib"] < 0.5 * found["full_mib"]
