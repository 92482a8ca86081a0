# The small hybrid trained on synthetic smears alone, drawn while it trains: no real image needed.
#
#   make prepare && mim train mmdet configs/box_hybrid_mask_rcnn.py
#
# Training time and score: not measured. One core draws about 30 fields a second, so a worker for
# each core keeps a GPU busy; on two cores take batch_size=4 and num_workers=1.
_base_ = 'bccd_hybrid_mask_rcnn_cpu.py'

max_iters = 4000
train_cfg = dict(max_iters=max_iters, val_interval=max_iters // 4)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=200),
    dict(type='CosineAnnealingLR', by_epoch=False, T_max=max_iters, eta_min=1e-5),
]

# A field is drawn as large as the crops of the other configs, at the scale of their images.
train_pipeline = [
    dict(type='FilterAnnotations', min_gt_bbox_wh=(4, 4)),
    dict(type='RandomFlip', prob=0.75, direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='PhotoMetricDistortion', hue_delta=9, contrast_range=(0.7, 1.3)),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(
    batch_size=16,
    num_workers=15,
    sampler=dict(shuffle=False),  # each index is another field anyway
    dataset=dict(
        _delete_=True,
        type='SyntheticSmears',
        size=(512, 384),
        scale=(1024, 768),
        ratio_range=(0.8, 1.25),
        pipeline=train_pipeline,
    ),
)
default_hooks = dict(checkpoint=dict(interval=max_iters // 4))
