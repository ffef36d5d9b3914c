"""What a set of questions holds: its dev split, answers from a closed set, and the documents that it refers to."""
