"""Text recognition (OCR) of pages that are pictures, with the optional package `rapidocr`; see docs/documents.md."""
