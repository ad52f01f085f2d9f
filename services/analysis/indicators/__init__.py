"""The indicators: what they are (averages, momentum, volatility, registry) and the compiled pass that computes them (kernels)."""

from services.runtime import engine_choice as engine_choice
