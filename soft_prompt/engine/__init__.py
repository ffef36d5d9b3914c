"""Continuous batching: requests join and leave a running batch at every token.

`Engine` runs the requests of one backbone. Requests of different domains, with different soft prompts, adapters and
prefixes, share every forward pass.
"""
