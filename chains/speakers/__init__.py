"""Speakers, which write the answers: the local chat model or a model behind an API.

Imports `answering`, `messages` and `chat`; `softgraft` builds on it.
"""
