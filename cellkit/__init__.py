"""The arithmetic of dense cell instances: plain numpy functions, no MMDetection in sight."""
