"""Data: shards to samples to documents to batches, streaming, mixed and resumable."""
