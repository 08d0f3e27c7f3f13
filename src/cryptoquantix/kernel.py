"""The compile seam; filled in by the next commit."""
