"""Several processes, and devices that Lightning does not know: strategies, an accelerator, and their checkpoints."""
