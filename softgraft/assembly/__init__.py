"""From domain.yaml to working parts: index, store, template, speaker, notices, status."""
