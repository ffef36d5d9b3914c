"""The names of the compared systems and domains; imports nothing heavy."""

from __future__ import annotations

DOMAINS = ("bank", "clinic")
PACKAGES = ("torch", "transformers", "sentence-transformers", "faiss-cpu")
# What asks the model for the attack itself.
DIRECT = "asked directly"
UNTRAINED = ("template", "text twin", "extract", "quote", DIRECT)
TRAINED = ("soft", "continued", "defended", "built-in")

# Groups of cells besides the domains. `PASSAGES_LAST` follows a domain's name where its template has the passages after
# the question. `OVERRIDE` ends a name where the same attacks stand at the end of the best passage, behind an order to
# ignore the question.
EMAILS = "e-mails"
PASSAGES_LAST = ", passages last"
OVERRIDE = ", override"
OF_EMAILS = ("template", "text twin", "soft", "defended")
