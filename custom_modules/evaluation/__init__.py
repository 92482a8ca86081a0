"""Metrics of MMDetection, thin over `cellkit.metrics`."""
