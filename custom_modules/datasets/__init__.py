"""The prepared data set and the steps of its pipelines."""
