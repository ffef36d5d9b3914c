"""Rotary positions: angles, rotation, and the probe that tells whether keys can be moved."""
