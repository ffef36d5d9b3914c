"""The parts of the HTML reader: encodings, text in a line, lists, tables, and what is not the page's content."""
