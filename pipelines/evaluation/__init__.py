"""How well images show what was asked for: protocols, judges, statistics and tables."""
