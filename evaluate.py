"""Measure the semantic robustness of networks: ``python evaluate.py --help``."""

from lightning_semrob.cli import evaluate

if __name__ == "__main__":
    evaluate()
