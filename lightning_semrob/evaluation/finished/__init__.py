"""Finished jobs: compared, joined, and sampled again."""
