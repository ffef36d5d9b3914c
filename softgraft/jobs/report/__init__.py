"""The report of a domain as one HTML file."""
