# The main configuration on a schedule of steps, for data sets of a few dozen images, of which 20
# epochs would be a hundred steps.
#
#   make train CONFIG=configs/bccd_vitb_mask_rcnn_2k.py
#
# The 2,000 steps: not measured. After 90 of 180, on 34 real images, from smears_vitb_mask_rcnn.py's
# start: mask AP 0.787, AP50 0.961 on validation, four minutes of an H200 in all (docs/gpu.md).
_base_ = 'bccd_vitb_mask_rcnn.py'

max_iters = 2000
train_cfg = dict(
    _delete_=True, type='IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters // 10
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', by_epoch=False, T_max=max_iters, eta_min=1e-6),
]
train_dataloader = dict(sampler=dict(_delete_=True, type='InfiniteSampler', shuffle=True))
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=max_iters // 10),
    logger=dict(interval=25, log_metric_by_epoch=False),
)
log_processor = dict(by_epoch=False)
