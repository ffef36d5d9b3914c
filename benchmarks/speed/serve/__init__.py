"""The server under load: the domains, clients and systems of `serving.py`."""
