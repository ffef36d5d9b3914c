"""Training speed and memory: data, systems, runs and report."""
