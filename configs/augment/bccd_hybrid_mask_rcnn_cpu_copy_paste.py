# The CPU configuration with copies of a picture's cells laid elsewhere on it.
#
#   make train CONFIG=configs/augment/bccd_hybrid_mask_rcnn_cpu_copy_paste.py
#
# Validation mask AP 0.868, without it 0.865, with four flips merged (`make evaluate ARGS=--tta`)
# 0.877 (three seeds, an H200, from earlier weights: docs/results.md).
_base_ = ['../bccd_hybrid_mask_rcnn_cpu.py', '../_base_/augment/copy_paste.py']

# The base: 0-1 load, 2 resize, 3-4 crop, 5 flip, 6 colours, 7 pack.
train_pipeline = [
    *_base_.train_pipeline[:6],
    *_base_.augment_copy_paste,
    *_base_.train_pipeline[6:],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
