"""SageMaker's container contract as checks of any image: one function for each clause.

``byoc check IMAGE`` runs them, and so does ``pytest --pyargs byoc.conformance --image IMAGE``;
``byoc.conformance.runner`` is the same for programs. Runs where a Docker engine is, never inside
an image.
"""
