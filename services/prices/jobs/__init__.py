"""History that is not live: bars of the past, collected from their sources."""
