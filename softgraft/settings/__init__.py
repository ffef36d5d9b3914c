"""The files that users edit, domain.yaml and labels.yaml, and the location of a domain."""
