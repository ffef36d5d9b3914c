"""Decoding of replies (`generate`, `stream`), and scores of given continuations."""
