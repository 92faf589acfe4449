"""What runs in a training job that is debugged; nothing of it is imported in one that is not."""
