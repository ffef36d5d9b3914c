"""Long jobs over a domain: creating one, search over training settings, export and import."""
