"""Converts files to text: one module per format, and a child process with limits.

Entry points: `convert.convert_file`, `child.Converter`.
"""
