"""The names of the compared systems and domains; imports nothing heavy."""

from __future__ import annotations

DOMAINS = ("bank", "clinic")
PACKAGES = ("torch", "transformers", "sentence-transformers", "faiss-cpu")
# What asks the model for the attack itself.
DIRECT = "asked directly"
UNTRAINED = ("template", "text twin", "extract", "quote", DIRECT)
TRAINED = ("soft", "continued", "defended", "built-in")
