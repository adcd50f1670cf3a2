"""The AU adapter of FineFace, learned beside a frozen base."""
