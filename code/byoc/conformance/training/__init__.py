"""Clauses T01 to T19: the training image."""
