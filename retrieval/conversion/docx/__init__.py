"""The parts of a DOCX: styles, numbering, formulas, and the text in reading order. Entry point: `../format_docx`."""
