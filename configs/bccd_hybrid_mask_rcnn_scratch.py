# The small hybrid transformer from scratch, on 512x384 crops: when the model in the box may not be
# the start, or to see what it is worth.
#
#   make prepare DATA="/path/BCCD Dataset with mask"
#   make train CONFIG=configs/bccd_hybrid_mask_rcnn_scratch.py
#
# Steps, not epochs: the time is the same for any number of images, so give a larger set more of
# them (docs/training.md).
_base_ = [
    '_base_/models/mask_rcnn_hybrid.py',
    '_base_/datasets/bccd_instance.py',
    '_base_/default_runtime.py',
]

max_iters = 1200
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters // 8)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05),
    clip_grad=dict(max_norm=5.0),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=200),
    dict(type='CosineAnnealingLR', by_epoch=False, T_max=max_iters, eta_min=1e-5),
]

train_pipeline = [
    dict(type='LoadSmear'),
    dict(type='LoadLabelMap'),
    dict(type='RandomResize', scale=(1024, 768), ratio_range=(0.8, 1.25), keep_ratio=True),
    dict(type='RandomCropCells', crop_size=(512, 384), recompute_bbox=True),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(4, 4)),
    dict(type='RandomFlip', prob=0.75, direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='PhotoMetricDistortion', hue_delta=9, contrast_range=(0.7, 1.3)),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(pipeline=train_pipeline),
)
val_dataloader = dict(num_workers=1)
test_dataloader = dict(num_workers=1)

default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=max_iters // 8),
    logger=dict(interval=25, log_metric_by_epoch=False),
)
log_processor = dict(by_epoch=False)
