"""The fixture that every test of a sweep lives in."""

from tests.experiments.sweep.world import world

__all__ = ["world"]
