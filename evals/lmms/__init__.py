"""ILLUME as a model of lmms-eval, which runs the papers' understanding benchmarks (docs/use/lmms.md)."""
