"""What one domain gains from soft prompts of others."""
