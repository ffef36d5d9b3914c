"""The files that users edit: domain.yaml, labels.yaml and questions; and the location of a domain."""
