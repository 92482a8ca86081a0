# Your own model in minutes on two CPU cores: the model in the box, trained on with your images.
#
#   make prepare DATA="/path/BCCD Dataset with mask" && make train
#
# 6 minutes on two cores in float32 (AMD EPYC, AVX512). From 34 images, on 12 unseen ones: mask AP
# 0.811, AP50 0.954, pooled Dice 0.952, counts 3.1 % off. Steps, not epochs: the time is the same
# for any number of images. Without the box: bccd_hybrid_mask_rcnn_scratch.py.
_base_ = 'bccd_hybrid_mask_rcnn_scratch.py'

load_from = 'box/model.safetensors'

max_iters = 300
train_cfg = dict(max_iters=max_iters, val_interval=max_iters // 4)
optim_wrapper = dict(optimizer=dict(lr=2e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=False, T_max=max_iters, eta_min=1e-5),
]
default_hooks = dict(checkpoint=dict(interval=max_iters // 4))
