"""The daily report: collect an input, record it, compute the figures, draw them, keep the files."""
