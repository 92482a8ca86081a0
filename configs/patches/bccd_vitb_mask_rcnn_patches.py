# The main configuration on patches of 1024x1024 at full resolution, 1600x1200, instead of whole
# pictures around 1024x768. Tested in overlapping tiles, also by `mim test`.
#
#   mim train mmdet configs/patches/bccd_vitb_mask_rcnn_patches.py
#
# A step costs what it does in bccd_vitb_mask_rcnn.py or a third more. Time and score: not measured.
_base_ = '../bccd_vitb_mask_rcnn.py'

scale = (1600, 1200)
model = dict(type='TiledMaskRCNN', tile=(1024, 1024))

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
