# Training on synthetic smears that are drawn while the model trains; validation on a prepared set.
_base_ = 'bccd_instance.py'

train_pipeline = [
    dict(type='RandomCropCells', crop_size=(512, 384), recompute_bbox=True),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(4, 4)),
    dict(type='RandomFlip', prob=0.75, direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='PhotoMetricDistortion', hue_delta=9, contrast_range=(0.7, 1.3)),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(
    sampler=dict(_delete_=True, type='InfiniteSampler', shuffle=True),
    dataset=dict(_delete_=True, type='SyntheticSmears', pipeline=train_pipeline),
)
