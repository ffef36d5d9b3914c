"""Whole domains: the example domains, and banking77 as a classification task."""
