"""Crash anywhere: what writes files is killed and disturbed at every step, and looked at."""
