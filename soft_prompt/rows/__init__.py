"""Encoded prompts (rows), batches of them, and the stored keys and values of their prefixes."""
