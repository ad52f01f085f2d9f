"""One module for each outside thing that the prices service talks to."""
