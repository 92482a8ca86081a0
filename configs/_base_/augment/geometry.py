# Flips, right angles and elastic bending: no cell is lost, nothing at the border is made up.
# Before the crop, which then sees turned pictures of either shape; takes the place of RandomFlip.
augment_geometry = [
    dict(type='AlbuCells', steps=[dict(type='D4', p=1.0)]),
    dict(type='ElasticCells', prob=0.5, spacing=96, shift=12),
]
