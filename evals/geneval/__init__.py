"""GenEval on its own prompts (Ghosh et al., arXiv 2310.11513): images drawn, objects detected, the six tasks' rules."""
