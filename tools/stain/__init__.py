"""Stain normalisation of whole data sets: the cache, the table and the figure of the methods."""
