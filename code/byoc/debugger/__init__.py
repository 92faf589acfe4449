"""Debug and profile a training job with no AWS service: capture, rules, report."""
