"""Helpers that every room may use; they know nothing of the project's subject."""
