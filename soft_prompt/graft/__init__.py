"""What a graft trains: soft prompts and adapters, and the text twins that they start from."""
