"""Analysis: final bars in, indicators and signals out, live and on request, through one engine."""
