"""The AU network of the embedded verifier."""
