"""The fixtures that every test of a sweep has."""

from tests.experiments.sweep.world import with_page, world

__all__ = ["with_page", "world"]
