"""What runs inside the training image: `train` and all that it needs."""
