"""The site of the documentation: its reference pages, and how it is built."""
