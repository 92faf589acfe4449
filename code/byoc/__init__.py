"""Text classification containers for Amazon SageMaker: train, serve, launch."""

__version__ = "0.1.0"
