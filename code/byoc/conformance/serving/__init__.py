"""Clauses H01 to H15, M01 to M06 and B01 to B03: the serving image."""
