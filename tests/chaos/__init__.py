"""The real chain under faults: load, faults, and the comparison of every row with an oracle."""
