"""The compiled part of the bar engine."""

from services.runtime import engine_choice as engine_choice
