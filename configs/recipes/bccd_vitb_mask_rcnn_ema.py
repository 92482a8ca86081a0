# The main configuration with the mean of the weights over about 200 steps: what is validated, kept
# as the best checkpoint and predicted with.
#
#   mim train mmdet configs/recipes/bccd_vitb_mask_rcnn_ema.py
#
# Time and score: not measured.
_base_ = '../bccd_vitb_mask_rcnn.py'

custom_hooks = [
    *_base_.custom_hooks,
    dict(
        type='EMAHook',
        ema_type='ExponentialMovingAverage',
        momentum=0.005,
        update_buffers=True,  # the running statistics belong to the weights
    ),
]
