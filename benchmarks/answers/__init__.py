"""What the answers of a domain consist of: which sentence is quoted, and whether a quote or a model answers best."""
