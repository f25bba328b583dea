"""The playground suite: held-out scenes, scored by the exact judge."""
