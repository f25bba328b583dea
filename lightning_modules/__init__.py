"""One training task a file: each joins a model, a loss and an optimizer, and nothing more."""
