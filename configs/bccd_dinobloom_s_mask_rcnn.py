# DinoBloom-S: DINOv2 of white cells in blood and marrow (Koch et al., MICCAI 2024).
#
#   mim train mmdet configs/bccd_dinobloom_s_mask_rcnn.py
#
# Licence: Apache-2.0, open.
# Fetched from https://zenodo.org/records/10908163; a file of your own:
# model.backbone.init_cfg.checkpoint=/path/DinoBloom-S.pth
# GPU memory, counted for bfloat16 as in docs/memory.md: 2.2 GiB with an image at once, 6.7 with
# four; 1.6 and 4.1 with blocks recomputed. Time and score: not measured.
_base_ = 'bccd_vitb_mask_rcnn.py'

model = dict(
    backbone=dict(
        arch='deit-small',
        img_size=256,
        extra_tokens=1,
        layer_scale_init_value=1e-5,
        init_cfg=dict(checkpoint='https://zenodo.org/records/10908163/files/DinoBloom-S.pth'),
    ),
    neck=dict(in_channels=384),
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(extra_tokens=dict(decay_mult=0.0))))
