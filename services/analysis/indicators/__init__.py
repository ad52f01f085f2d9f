"""The indicators: what they are (averages, momentum, volatility, registry) and the compiled pass that computes them (kernels)."""
