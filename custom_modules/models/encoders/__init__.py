"""Weights of other people's vision transformers, whatever names they carry."""
