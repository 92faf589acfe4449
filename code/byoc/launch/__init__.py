"""Launching on your machine: SageMaker API requests, and the three places that run them."""
