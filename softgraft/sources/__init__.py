"""Source grafts: soft prompts that domains start from."""
