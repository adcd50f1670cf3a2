"""Reports for people: previews, reproductions, summaries."""
