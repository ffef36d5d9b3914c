"""Domains whose task is not a conversation. Imports assembly, training and settings."""
