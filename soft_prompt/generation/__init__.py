"""Decoding rows to replies, and scoring fixed continuations. The public entries are `generate` and `stream`."""
