"""A sweep: many runs of train.py, whose settings Optuna chooses. `sweep.py` is its command line."""
