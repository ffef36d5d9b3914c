"""Documents to passages, sections and sentences. Imports `documents` and `errors` alone."""
