"""The parts of a PDF page: words, rows, columns and tables, form fields and pictures. Entry point: `../format_pdf`."""
