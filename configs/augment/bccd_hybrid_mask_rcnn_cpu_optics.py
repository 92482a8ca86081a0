# The CPU configuration with focus, uneven light, noise and JPEG varied.
#
#   make train CONFIG=configs/augment/bccd_hybrid_mask_rcnn_cpu_optics.py
#
# Validation mask AP 0.866, without it 0.865 (one seed, an H200: docs/results.md).
_base_ = ['../bccd_hybrid_mask_rcnn_cpu.py', '../_base_/augment/optics.py']

# The base: 0-1 load, 2 resize, 3-4 crop, 5 flip, 6 colours, 7 pack.
train_pipeline = [
    *_base_.train_pipeline[:7],
    *_base_.augment_optics,
    *_base_.train_pipeline[7:],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
