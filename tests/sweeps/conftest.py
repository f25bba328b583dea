"""The fixture that every test of a sweep lives in."""

from tests.sweeps.world import world

__all__ = ["world"]
