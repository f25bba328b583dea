"""Worlds of rendered scenes, each a package that can train and test every stage, with nothing downloaded.

A world has the modules of `worlds/playground`, by which the rest of the project uses it: `scene` (what images may hold),
`sampler` (random scenes) and `render` (their pixels), `captions`, `prompts`, `questions`, `edits` and `stories` (their
text), `shards` (its training sets as a command), and `judge` (reads an image back, and compares it with a prompt).
What depends on one world bears its name: `judges/scene.py`, `evals/playground/`.
"""
