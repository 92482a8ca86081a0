# The small hybrid transformer on synthetic smears alone, drawn as it trains: no image is seen twice
# and no real one at all.
#
#   make prepare && make train CONFIG=configs/box_hybrid_mask_rcnn.py
#
# Time and score: not measured yet. Validation is on the prepared set, the demo smears where there
# is no other.
_base_ = 'bccd_hybrid_mask_rcnn_cpu.py'

max_iters = 8000
train_cfg = dict(max_iters=max_iters, val_interval=max_iters // 8)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=200),
    dict(type='CosineAnnealingLR', by_epoch=False, T_max=max_iters, eta_min=1e-5),
]
# A field is drawn at its size and with its labels: nothing to load or to resize.
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='SyntheticSmears',
        size=(420, 560),
        pipeline=_base_.train_pipeline[3:],
    )
)
default_hooks = dict(checkpoint=dict(interval=max_iters // 8))
