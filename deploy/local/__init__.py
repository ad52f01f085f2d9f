"""The embedded stack and the command line: the place where the parts are put together."""
