"""The command line, one module per group of commands, and what it prints. Imports everything else in softgraft."""
