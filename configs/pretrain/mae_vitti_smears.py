# The same with a ViT-Ti for two cores, on synthetic smears that are drawn as it trains: no data
# needed. The start of bccd_vitti_mask_rcnn_cpu.py.
#
#   mim train mmpretrain configs/pretrain/mae_vitti_smears.py
#
# A step of 32 takes 2 s of a processor, half of it for drawing. What it is worth:
# docs/pretraining.md.
_base_ = 'mae_vitb_smears.py'

model = dict(
    backbone=dict(arch='deit-tiny'),
    neck=dict(embed_dim=192, decoder_embed_dim=128, decoder_depth=2, decoder_num_heads=4),
)

max_iters = 1200
train_cfg = dict(max_iters=max_iters)
optim_wrapper = dict(optimizer=dict(lr=1e-3))  # the schedule is short
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=max_iters // 10),
    dict(type='CosineAnnealingLR', by_epoch=False, T_max=max_iters, eta_min=0),
]
train_dataloader = dict(
    batch_size=32,
    num_workers=1,
    sampler=dict(shuffle=False),  # every index is another field anyway
    dataset=dict(
        _delete_=True,
        type='mmdet.SyntheticSmears',
        size=(224, 224),
        scale=(640, 480),
        ratio_range=(0.8, 1.25),
        pipeline=[dict(type='PackInputs')],
    ),
)
default_hooks = dict(checkpoint=dict(interval=max_iters // 6))
