"""Cells as any other program found them, for the same yardstick as the project's own."""
