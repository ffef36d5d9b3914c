"""What is trained: soft prompts, adapters, and the text twins that they start from."""
