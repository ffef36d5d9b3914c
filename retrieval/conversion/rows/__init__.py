"""What JSONL and CSV have in common: names of columns, values as text, and the document of a row."""
