"""Headwater's SDK."""
