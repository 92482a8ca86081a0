# The hybrid's heads on a plain ViT-Ti that a masked autoencoder has taught, on crops of small
# pictures: what pretraining is worth on two CPU cores (docs/pretraining.md).
#
#   mim train mmpretrain configs/pretrain/mae_vitti_smears.py
#   make train CONFIG=configs/bccd_vitti_mask_rcnn_cpu.py
#
# From scratch: OPTS=model.backbone.init_cfg=None
_base_ = 'bccd_hybrid_mask_rcnn_scratch.py'

pretrained = 'work_dirs/mae_vitti_smears/iter_1200.pth'
max_iters = 400
train_cfg = dict(max_iters=max_iters, val_interval=max_iters // 2)
optim_wrapper = dict(optimizer=dict(lr=5e-4), clip_grad=dict(max_norm=1.0))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=False, T_max=max_iters, eta_min=1e-5),
]
# 18x24 patches need no windows.
model = dict(
    backbone=dict(
        _delete_=True,
        type='WindowedViT',
        arch='deit-tiny',
        img_size=224,
        window_size=0,
        init_cfg=dict(type='PretrainedEncoder', checkpoint=pretrained),
    ),
    neck=dict(
        _delete_=True, type='SimpleFeaturePyramid', in_channels=192, out_channels=64, num_outs=4
    ),
)

scale = (640, 480)
train_pipeline = [
    *_base_.train_pipeline[:2],
    dict(type='RandomResize', scale=scale, ratio_range=(0.8, 1.25), keep_ratio=True),
    dict(type='RandomCropCells', crop_size=(384, 288), recompute_bbox=True),
    *_base_.train_pipeline[4:],
]
test_pipeline = [
    _base_.test_pipeline[0],
    dict(type='Resize', scale=scale, keep_ratio=True),
    *_base_.test_pipeline[2:],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
default_hooks = dict(checkpoint=dict(interval=max_iters // 2))
