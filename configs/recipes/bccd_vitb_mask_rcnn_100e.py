# The main configuration on 100 epochs instead of 20, validated every fifth.
#
#   mim train mmdet configs/recipes/bccd_vitb_mask_rcnn_100e.py
#
# Five times the time of bccd_vitb_mask_rcnn.py. Time and score: not measured.
_base_ = '../bccd_vitb_mask_rcnn.py'

max_epochs = 100
train_cfg = dict(max_epochs=max_epochs, val_interval=5)
warmup, cosine = _base_.param_scheduler
cosine.T_max = max_epochs
param_scheduler = [warmup, cosine]
