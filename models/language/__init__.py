"""The language model: a Hugging Face trunk that sees features, and reads and writes text and image codes."""
