"""Drafts questions from a domain's documents, and reviews them before they become training questions."""
