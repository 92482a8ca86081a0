"""Pipeline steps: loading as one label map, crops, augmentation, stain."""
