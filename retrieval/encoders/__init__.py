"""Sentence encoders and cross-encoders.

Others import `load.load_encoder`, `cross_encoder.load_reranker`, `Encoder`.
"""
