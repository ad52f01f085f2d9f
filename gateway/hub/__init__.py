"""The subscription hub: what the topics say, told to everyone who asked for it."""
