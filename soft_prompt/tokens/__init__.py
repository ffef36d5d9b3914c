"""Tokenisation of prompts: the chat template's control text and the token spans of a prompt. Needs no model."""
