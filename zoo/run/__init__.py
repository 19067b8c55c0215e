"""The folder of a run: loggers, whole files, records, secrets left out, pictures, SLURM."""
