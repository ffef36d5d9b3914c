"""Soft prompts in other programs' formats: PEFT, Transformers checkpoints, GGUF.

May import every other subpackage.
"""
