"""Metrics of pixels, instances and counts as plain NumPy functions.

Each function reduces one image to a few counts; values of a data set are made of those, so that
several processes, score thresholds and bootstrap samples share one pass over the pixels.
"""
