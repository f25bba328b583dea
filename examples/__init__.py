"""How other tools call train.py."""
