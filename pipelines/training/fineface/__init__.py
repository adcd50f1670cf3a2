"""FineFace's AU adapter, learned beside a frozen base."""
