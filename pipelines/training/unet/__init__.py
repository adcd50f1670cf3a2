"""The text-to-image base that FineFace steers."""
