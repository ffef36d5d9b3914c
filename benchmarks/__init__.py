"""Measurements beside peers. Each script prints a table and writes JSON to `results/`.

Run one as a module from the repository's root, such as `python -m benchmarks.speed.training_speed`. Nothing imports
this package.
"""
