"""Commands that keep running and answer others."""
