# Large-scale jitter: half to twice the size at which pictures are tested. Takes the place of
# RandomResize, before the crop.
augment_large_scale = [
    dict(type='RandomResize', scale=(1024, 768), ratio_range=(0.5, 2.0), keep_ratio=True),
]
