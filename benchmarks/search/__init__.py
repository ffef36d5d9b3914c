"""Retrieval: quality, speed, evidence scores, follow-up questions and citations."""
