# The CPU configuration with geometry, copied cells and colour: what cost nothing alone.
#
#   make train CONFIG=configs/augment/bccd_hybrid_mask_rcnn_cpu_mild.py
#
# Validation mask AP 0.867, without it 0.865 (one seed, an H200: docs/results.md).
_base_ = [
    '../bccd_hybrid_mask_rcnn_cpu.py',
    '../_base_/augment/geometry.py',
    '../_base_/augment/copy_paste.py',
    '../_base_/augment/colour.py',
]

# The base: 0-1 load, 2 resize, 3-4 crop, 5 flip, 6 colours, 7 pack.
train_pipeline = [
    *_base_.train_pipeline[:3],
    *_base_.augment_geometry,
    *_base_.train_pipeline[3:5],
    *_base_.augment_copy_paste,
    *_base_.augment_colour,
    *_base_.train_pipeline[7:],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
