"""Replies, and the choice of their tokens."""
