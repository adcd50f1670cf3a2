"""Evaluations of how well images show the AUs asked for: protocols, judges, statistics, tables."""
