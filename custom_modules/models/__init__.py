"""Backbones, pyramid, detector and mask head."""
