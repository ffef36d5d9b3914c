"""Loading of served domains: their versions, the first answer, and what it means for garbage collection."""
