# The CPU configuration on patches at full resolution, 1600x1200, instead of pictures around
# 1024x768: as many pixels a step, of cells half as large again. Tested in overlapping tiles, by
# `make evaluate`, `make predict` and `mim test` alike.
#
#   make train CONFIG=configs/patches/bccd_hybrid_mask_rcnn_cpu_patches.py
#
# Four tiles of a picture take four times the time in testing. Validation mask AP 0.855, without it
# 0.865 (one seed, an H200: docs/results.md).
_base_ = '../bccd_hybrid_mask_rcnn_cpu.py'

scale = (1600, 1200)
model = dict(type='TiledMaskRCNN', tile=(768, 1024))

# The crop keeps a cell of which half or more is visible, as the masks do at a picture's border.
resize = dict(type='RandomResize', scale=scale, ratio_range=(0.8, 1.25), keep_ratio=True)
train_pipeline = [*_base_.train_pipeline[:2], resize, *_base_.train_pipeline[3:]]
test_pipeline = [
    _base_.test_pipeline[0],
    dict(type='Resize', scale=scale, keep_ratio=True),
    *_base_.test_pipeline[2:],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
