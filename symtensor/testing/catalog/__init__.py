"""Samples of every op, by theme; each module has a list `SAMPLES`."""
