"""Measurements beside other methods. Each script prints a table and writes JSON to `results/`.

Run a script as a module from the repository's root: `python -m benchmarks.speed.training_speed`. No other package
imports this one.
"""
