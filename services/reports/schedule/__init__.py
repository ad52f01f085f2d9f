"""Recurring jobs: what is to run when, who starts it, and what became of it."""
