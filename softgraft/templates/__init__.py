"""Listing, checking, comparing and rendering a domain's templates."""
