"""Many runs: ablations, sweeps, and the processes they start."""
