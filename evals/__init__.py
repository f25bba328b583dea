"""Metrics: each a small function of a model; `python -m evals` runs a suite of them."""
