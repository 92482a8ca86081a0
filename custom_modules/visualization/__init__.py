"""Drawing predictions that are run lengths."""
