"""Draws synthetic blood smears: `cells` the single things, `scene` picture and label map."""
