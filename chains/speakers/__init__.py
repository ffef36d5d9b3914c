"""Speakers, which write the answers: the local chat model or a model behind an API."""
