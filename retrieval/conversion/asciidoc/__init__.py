"""AsciiDoc. No maintained library reads it in Python, so the parts that hold text are read here."""
