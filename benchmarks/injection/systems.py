"""The names of the compared systems and domains; imports nothing heavy."""

from __future__ import annotations

DOMAINS = ("bank", "clinic")
PACKAGES = ("torch", "transformers", "sentence-transformers", "faiss-cpu")
# What asks the model for the attack itself.
DIRECT = "asked directly"
UNTRAINED = ("template", "text twin", "extract", "quote", DIRECT)
TRAINED = ("soft", "continued", "defended", "built-in")

# Groups of cells besides the domains. `OVERRIDE` ends the name of a domain's group with the same attacks at the end of
# the best passage, behind an order to ignore the question.
EMAILS = "e-mails"
OVERRIDE = ", override"
OF_EMAILS = ("template", "text twin", "soft", "defended")
