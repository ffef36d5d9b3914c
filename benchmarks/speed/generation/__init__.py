"""Generation speed: systems, measurements and report, and conversations."""
