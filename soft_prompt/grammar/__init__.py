"""Constrained decoding: JSON schema, regular expression, choice, grammar, tool call. Needs the backbone alone."""
