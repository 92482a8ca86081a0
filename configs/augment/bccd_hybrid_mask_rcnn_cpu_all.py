# The CPU configuration with every kind of augmentation; leave out lines to leave out kinds.
#
#   make train CONFIG=configs/augment/bccd_hybrid_mask_rcnn_cpu_all.py
#
# Validation mask AP 0.865, without it 0.865 (one seed, an H200: docs/results.md).
_base_ = [
    '../bccd_hybrid_mask_rcnn_cpu.py',
    '../_base_/augment/large_scale.py',
    '../_base_/augment/geometry.py',
    '../_base_/augment/copy_paste.py',
    '../_base_/augment/colour.py',
    '../_base_/augment/optics.py',
]

# The base: 0-1 load, 2 resize, 3-4 crop, 5 flip, 6 colours, 7 pack.
train_pipeline = [
    *_base_.train_pipeline[:2],
    *_base_.augment_large_scale,
    *_base_.augment_geometry,
    *_base_.train_pipeline[3:5],
    *_base_.augment_copy_paste,
    *_base_.augment_colour,
    *_base_.augment_optics,
    *_base_.train_pipeline[7:],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
