# The main configuration on images brought to one stain by Reinhard, in training and in testing.
#
#   mim train mmdet configs/bccd_vitb_mask_rcnn_reinhard.py
#
# The reference is the one that `make prepare` chose. Costs a worker about as much time as reading
# the image; `python -m tools.stain cache` does it beforehand. Time and score: not measured.
_base_ = ['bccd_vitb_mask_rcnn.py']

stain = dict(
    type='StainNormalize',
    method='reinhard',
    reference='{{$DATA_ROOT:data/bccd}}/stain/reference.json',
)
train_pipeline = [_base_.train_pipeline[0], stain, *_base_.train_pipeline[1:]]
test_pipeline = [_base_.test_pipeline[0], stain, *_base_.test_pipeline[1:]]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
