"""Semantic adversarial training: train on rendered views, and judge the result."""
