"""The field's understanding benchmarks through lmms-eval, which runs our models by the name `illume` (docs/use/lmms.md)."""
