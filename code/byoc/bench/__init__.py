"""Measurements of what we build, printed as tables. Run on your machine, never in an image."""
