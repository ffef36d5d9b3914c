"""Fitting a domain to its questions: soft prompt, ranking weights, evidence score."""
