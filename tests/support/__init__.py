"""Test doubles and tiny models that several test folders share."""
