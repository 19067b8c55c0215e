"""Benchmarks: variants × seeds (× draws of a random search) under one budget, a process a run."""
