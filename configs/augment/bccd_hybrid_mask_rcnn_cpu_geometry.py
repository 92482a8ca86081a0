# The CPU configuration with pictures turned by right angles, mirrored and bent.
#
#   make train CONFIG=configs/augment/bccd_hybrid_mask_rcnn_cpu_geometry.py
#
# Validation mask AP 0.869, without it 0.865 (one seed, an H200: docs/results.md).
_base_ = ['../bccd_hybrid_mask_rcnn_cpu.py', '../_base_/augment/geometry.py']

# The base: 0-1 load, 2 resize, 3-4 crop, 5 flip, 6 colours, 7 pack.
train_pipeline = [
    *_base_.train_pipeline[:3],
    *_base_.augment_geometry,
    *_base_.train_pipeline[3:5],
    *_base_.train_pipeline[6:],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
