"""Engines for text recognition on pages with known text: the pages, the engines, and the process that runs one."""
