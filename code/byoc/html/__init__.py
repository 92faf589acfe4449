"""Self-contained pages: elements, plots, parts and the document. Standard library only."""
