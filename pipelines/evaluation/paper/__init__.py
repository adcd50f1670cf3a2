"""The FineFace paper's protocol: runs that make its images, and what judges find in them."""
