"""SageMaker's container contract as checks of any image: one function for each clause.

``python -m byoc.conformance IMAGE --training`` runs them; ``byoc.conformance.runner`` is the same
for programs. Runs where a Docker engine is, never inside an image.
"""
