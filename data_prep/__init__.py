"""From downloaded files to COCO JSON, once, before training; imports no torch."""
