"""Sentence encoders and cross-encoders, and how they are loaded."""
