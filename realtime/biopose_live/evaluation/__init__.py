"""Scores recordings and models; beside the pipeline, above the models."""
