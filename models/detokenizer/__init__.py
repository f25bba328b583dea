"""The diffusion detokenizer: reconstructed features to pixels (ILLUME section 3.1, figure 3)."""
