"""The harness of the stream processors: `run_worker` of `worker.py`, the types of `records.py`, `pack_state` of `state.py`.

Nothing is imported here, so that a processor can use records and state without loading Faust.
"""
