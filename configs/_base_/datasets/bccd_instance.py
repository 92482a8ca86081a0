# The prepared blood-cell data set (`make prepare`), whole images around 1024x768.
# DATA_ROOT in the environment points at another prepared folder.
data_root = '{{$DATA_ROOT:data/bccd}}/'
scale = (1024, 768)

train_pipeline = [
    dict(type='LoadSmear'),
    dict(type='LoadLabelMap'),
    dict(type='RandomResize', scale=scale, ratio_range=(0.8, 1.25), keep_ratio=True),
    dict(type='RandomCropCells', crop_size=(1024, 1024), recompute_bbox=True),
    dict(type='FilterAnnotations', min_gt_bbox_wh=(4, 4)),
    dict(type='RandomFlip', prob=0.75, direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='PhotoMetricDistortion', hue_delta=9, contrast_range=(0.7, 1.3)),
    dict(type='PackDetInputs'),
]
# No padding here: boxes in a padded margin lie outside the image (the data preprocessor pads).
test_pipeline = [
    dict(type='LoadSmear'),
    dict(type='Resize', scale=scale, keep_ratio=True),
    dict(type='LoadLabelMap'),
    dict(
        type='PackDetInputs',
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
    ),
]

train_dataloader = dict(
    batch_size=16,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='BCCDDataset',
        data_root=data_root,
        ann_file='annotations/train.json',
        data_prefix=dict(img='images/'),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='BCCDDataset',
        data_root=data_root,
        ann_file='annotations/val.json',
        data_prefix=dict(img='images/'),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='BCCDDataset',
        data_root=data_root,
        ann_file='annotations/test.json',
        data_prefix=dict(img='images/'),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)

# Not CocoMetric: its mAP stops at 100 detections an image, and up to 190 cells lie in one.
# The score threshold for counting is chosen on validation images, never on test images.
val_evaluator = [
    dict(type='DenseCocoMetric', ann_file=data_root + 'annotations/val.json'),
    dict(type='PixelDice', ann_file=data_root + 'annotations/val.json'),
    dict(type='CountError', ann_file=data_root + 'annotations/val.json', choose=True),
]
test_evaluator = [
    dict(type='DenseCocoMetric', ann_file=data_root + 'annotations/test.json'),
    dict(type='PixelDice', ann_file=data_root + 'annotations/test.json'),
    dict(type='CountError', ann_file=data_root + 'annotations/test.json'),
]
