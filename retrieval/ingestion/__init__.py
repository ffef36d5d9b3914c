"""Ingests a folder of documents into an index. Entry point: `ingest.ingest`."""
