# A ViT-B/16 that learns from a lab's unlabelled smears: mmpretrain's masked autoencoder (He et al.,
# CVPR 2022) is shown a quarter of a crop's patches and paints the others. Wants a GPU.
#
#   SMEARS=/path/to/pictures mim train mmpretrain configs/pretrain/mae_vitb_smears.py
#   mim train mmdet configs/bccd_vitb_mask_rcnn.py --cfg-options \
#     model.backbone.init_cfg.checkpoint=work_dirs/mae_vitb_smears/iter_20000.pth
#
# Time, memory and what it is worth: not measured.
_base_ = [
    'mmpretrain::_base_/models/mae_vit-base-p16.py',
    '../_base_/datasets/smears_unlabelled.py',
    '../_base_/pretrain_runtime.py',
]

# As the detector sees them: RGB, about 0 with a deviation of about 1.
model = dict(
    type='mmdet.MixedPrecisionMAE',
    precision='auto',
    data_preprocessor=dict(
        type='SelfSupDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True,
    ),
)

# 20,000 steps of 256 crops, however many pictures there are. MAE's rate: 1.5e-4 for 256.
max_iters = 20000
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters)
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1.5e-4, betas=(0.9, 0.95), weight_decay=0.05),
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys={token: dict(decay_mult=0.0) for token in ('cls_token', 'mask_token')},
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=max_iters // 20),
    dict(type='CosineAnnealingLR', by_epoch=False, T_max=max_iters, eta_min=0),
]
default_hooks = dict(checkpoint=dict(interval=max_iters // 20))
