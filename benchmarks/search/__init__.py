"""Retrieval: quality, speed, evidence scores and citations."""
