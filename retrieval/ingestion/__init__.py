"""A folder of documents into an index.

The public entry is `ingest.ingest`. Imports vectors, conversion and store.
"""
