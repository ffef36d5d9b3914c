"""Rotary positions: angles, rotation of keys, and the probe whether keys can be moved."""
