"""Formats that are text: e-mail messages, subtitles and source code."""
