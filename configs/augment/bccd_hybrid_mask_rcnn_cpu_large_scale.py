# The CPU configuration with large-scale jitter: cells from half to twice their size.
#
#   make train CONFIG=configs/augment/bccd_hybrid_mask_rcnn_cpu_large_scale.py
#
# Validation mask AP 0.861, without it 0.865 (one seed, an H200: docs/results.md).
_base_ = ['../bccd_hybrid_mask_rcnn_cpu.py', '../_base_/augment/large_scale.py']

# The base: 0-1 load, 2 resize, 3-4 crop, 5 flip, 6 colours, 7 pack.
train_pipeline = [
    *_base_.train_pipeline[:2],
    *_base_.augment_large_scale,
    *_base_.train_pipeline[3:],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
