# The small hybrid transformer on a GPU: larger batches for a few minutes, no pretrained weights.
# What `make train` runs on the synthetic demo smears where there is a GPU.
#
#   make prepare && make train
#
# Time and score: not measured yet.
_base_ = 'bccd_hybrid_mask_rcnn_scratch.py'

max_iters = 600
train_cfg = dict(max_iters=max_iters, val_interval=max_iters // 3)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=100),
    dict(type='CosineAnnealingLR', by_epoch=False, T_max=max_iters, eta_min=1e-5),
]
train_dataloader = dict(batch_size=16, num_workers=8)
val_dataloader = dict(num_workers=2)
test_dataloader = dict(num_workers=2)
default_hooks = dict(checkpoint=dict(interval=max_iters // 3))
