"""Garbage for the readers, seeded: ``python -m tests.fuzz``."""
