"""Splits documents into sections, passages and sentences."""
