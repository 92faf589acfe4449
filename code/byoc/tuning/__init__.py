"""Hyperparameter tuning: one definition, run here or by SageMaker."""
