"""Worlds of rendered scenes; each is a package with one interface."""
