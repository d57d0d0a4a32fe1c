"""Procedural shapes that travel inside the package."""
