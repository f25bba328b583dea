"""What happens around a training step: checkpoints, metrics, progress, export and evaluation."""
