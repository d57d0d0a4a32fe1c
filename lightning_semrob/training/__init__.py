"""Semantic adversarial training: training on rendered views, and judging what it brings."""
