# The main configuration with the stains' concentrations perturbed in training; no reference needed.
#
#   mim train mmdet configs/bccd_vitb_mask_rcnn_stain_jitter.py
#
# Time and score: not measured.
_base_ = ['bccd_vitb_mask_rcnn.py']

stain = dict(type='StainJitter', prob=0.8, scale=0.2, shift=0.02)
train_pipeline = [_base_.train_pipeline[0], stain, *_base_.train_pipeline[1:]]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
