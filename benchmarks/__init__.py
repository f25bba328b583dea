"""What is measured, each file a command that prints JSON; run from the root: `python -m benchmarks.data --json`."""
