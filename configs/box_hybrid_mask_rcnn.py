# The small hybrid transformer on synthetic smears alone, drawn as it trains: no image is seen twice
# and no real one at all.
#
#   make prepare && make train CONFIG=configs/box_hybrid_mask_rcnn.py
#
# Time and score: not measured yet. Validation is on the prepared set, the demo smears where there
# is no other.
_base_ = [
    '_base_/models/mask_rcnn_hybrid.py',
    '_base_/datasets/synthetic_smears.py',
    '_base_/default_runtime.py',
]

max_iters = 8000
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
train_dataloader = dict(batch_size=4, num_workers=1, dataset=dict(size=(420, 560)))

default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=max_iters // 8),
    logger=dict(interval=25, log_metric_by_epoch=False),
)
log_processor = dict(by_epoch=False)
