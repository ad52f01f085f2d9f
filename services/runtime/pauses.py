"""Fewer and shorter pauses, for processes in which milliseconds count."""

import gc
import sys

#: Objects made before the youngest are looked through for garbage: a millisecond or two. Python's 700 are reached many times a second.
_YOUNG_OBJECTS = 5_000
#: Looks at the youngest before one at the next older ones, and of those before one at all.
_LOOKS, _LOOKS_AT_OLDER = 20, 100
#: Python's 5 ms are the time that a thread waits for another that computes, each time that it wakes: several such waits are in the way of each tick.
_SWITCH_SECONDS = 0.0005


def shorten_pauses() -> None:
    """To be called when everything is loaded: what exists by now stays and is never looked through again.

    Looking through Faust's and numba's objects for garbage took 5 % of a worker's time, and up to 90 ms at once.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, _LOOKS, _LOOKS_AT_OLDER)
    sys.setswitchinterval(_SWITCH_SECONDS)
