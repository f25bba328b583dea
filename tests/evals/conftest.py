from tests.fixtures import tiny_illume

__all__ = ["tiny_illume"]
