"""Capacity planning of AI systems: the companion package of the course."""
