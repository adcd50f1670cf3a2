"""fineface."""
