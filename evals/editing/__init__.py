"""Editing on Emu Edit's and MagicBrush's test sets: DINO, CLIP-I, CLIP-T, CLIP-DIR and L1."""
