"""Alerts to other systems, posted from a queue on disk."""
