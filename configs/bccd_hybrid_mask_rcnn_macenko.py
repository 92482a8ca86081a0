# The CPU configuration on images brought to one stain by Macenko, in training and in testing.
#
#   make train CONFIG=configs/bccd_hybrid_mask_rcnn_macenko.py
#
# The reference is the one that `make prepare` chose. configs/tune/stain.py searches method and
# strength. Time and score: not measured.
_base_ = 'bccd_hybrid_mask_rcnn_cpu.py'

stain = dict(
    type='StainNormalize',
    method='macenko',
    strength=1.0,
    reference='{{$DATA_ROOT:data/bccd}}/stain/reference.json',
)
train_pipeline = [_base_.train_pipeline[0], stain, *_base_.train_pipeline[1:]]
test_pipeline = [_base_.test_pipeline[0], stain, *_base_.test_pipeline[1:]]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
