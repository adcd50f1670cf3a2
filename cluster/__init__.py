"""Shards worked inline or by Ray actors: rounds, schedule, faults, the run."""
