"""Helpers of the core: refusals, descriptions of objects, freezing, initial weights, samples in parts."""
