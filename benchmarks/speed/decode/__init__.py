"""Decoding speed: the systems of `decoding.py`, and vLLM in an environment of its own."""
