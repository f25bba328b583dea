"""GenAI-Bench (arXiv 2406.13743) by VQAScore (arXiv 2404.01291)."""
