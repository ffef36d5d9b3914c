"""The files a person edits: domain.yaml and labels.yaml, and where domains are."""
