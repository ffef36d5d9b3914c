"""Queries to ranked passages: dense and BM25 rankings, fusion, reranking, evidence score.

The public entry is `index.open_index`. Imports `ingestion`'s stores and below: vectors, store, encoders, splitting.
"""
