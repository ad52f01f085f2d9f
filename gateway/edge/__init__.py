"""Envoy's configuration, rendered as files."""
