"""Masks as one label map, detections as run lengths."""
