"""Self-enhancement (ILLUME section 3.4): prompts, drawings, verdicts, and what is learned from them."""
