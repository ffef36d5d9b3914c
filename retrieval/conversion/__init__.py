"""Files to text: one module per format, and the child process that runs them within limits.

Others call `convert.convert_file` or `child.Converter`. Imports splitting, `documents` and `errors`.
"""
