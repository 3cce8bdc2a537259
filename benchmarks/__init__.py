"""The benchmark: workloads, contestants, and ratios of their times. ``python -m benchmarks --help``.

`workloads/` says what is computed, once, in a vocabulary that every contestant has in its own words;
`contestants/` has one file per library; `measure` is one process of timing, `checking` says what is
right, `limits` what the machine could do, `report` makes the tables.

A new workload is a `Workload` in the list of its theme; a new peer is a file with a `Contestant` and a
line in `contestants/__init__.py`.
"""
