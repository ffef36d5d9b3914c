"""The web page of `softgraft serve`: static files, and the JSON API under /api/ that they use."""
