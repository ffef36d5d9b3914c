"""Listing, checking, comparing and rendering templates."""
