"""Feeds: what brings ticks and bars into the system. One file for each adapter, all behind the protocols in ports.py."""
