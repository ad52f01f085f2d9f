"""Asking servers for feeds: politely, with bounds on everything that they send."""
