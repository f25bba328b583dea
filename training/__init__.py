"""One training run: command line, checkpoints, loggers, progress, speed, and placement on devices."""
