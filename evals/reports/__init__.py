"""Pages and tables of evaluations and runs."""
