# Pictures of smears without labels, in a folder and those below it: SMEARS in the environment.
# A crop shows cells as large as the detector of _base_/datasets/bccd_instance.py sees them.
smears = '{{$SMEARS:data/smears}}'

train_pipeline = [
    dict(type='mmdet.LoadSmear'),
    dict(type='RandomResize', scale=(1024, 768), ratio_range=(0.8, 1.25), keep_ratio=True),
    dict(type='mmpretrain.RandomCrop', crop_size=224, pad_if_needed=True, padding_mode='reflect'),
    dict(type='RandomFlip', prob=0.75, direction=['horizontal', 'vertical', 'diagonal']),
    dict(type='PackInputs'),
]

train_dataloader = dict(
    batch_size=256,
    num_workers=16,  # a picture is decoded for each crop
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(type='mmdet.SmearFolder', data_root=smears, pipeline=train_pipeline),
)
