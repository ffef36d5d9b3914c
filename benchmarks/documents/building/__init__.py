"""Writers of small files: the parts of an archive, and PDF objects, as the formats define them."""
