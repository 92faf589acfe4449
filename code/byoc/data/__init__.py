"""Data sets on your machine: split, looked into and sent to S3, before any job sees them."""
