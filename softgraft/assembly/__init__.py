"""Assembles a domain from its settings: index, backbone, template, speaker, notices and status."""
