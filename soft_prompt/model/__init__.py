"""The frozen backbone: weights, tokenizer, KV cache, prefill, decoding speed. Imports `tokens`."""
