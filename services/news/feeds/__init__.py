"""The feeds that are read: their file, their values, when each is due."""
