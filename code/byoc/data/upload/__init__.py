"""Files to S3: in parallel, each byte at most once, whole or not there."""
