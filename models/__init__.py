"""The model alone: torch, transformers and diffusers, nothing of training."""
