"""Prices: feeds, ticks, bars, and the service that answers with them."""
