"""Draws synthetic blood smears and their label maps: arrays out, no file."""
