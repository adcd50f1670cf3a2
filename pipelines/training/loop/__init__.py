"""What every training does: learn step by step, keep checkpoints, show curves, write cards."""
