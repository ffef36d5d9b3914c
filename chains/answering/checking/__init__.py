"""Reads sentences for the support check: words, figures, negation, and the windows of the evidence."""
