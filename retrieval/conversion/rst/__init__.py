"""reStructuredText, also that of Sphinx, read with docutils."""
