"""Formats that are archives of XML: spreadsheets, presentations, ODF texts and books."""
