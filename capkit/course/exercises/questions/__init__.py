"""The questions of the exercises, one module a chapter: what is right, and what the known mistakes give."""
