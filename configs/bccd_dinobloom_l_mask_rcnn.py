# DinoBloom-L: DINOv2 of white cells in blood and marrow (Koch et al., MICCAI 2024).
#
#   mim train mmdet configs/bccd_dinobloom_l_mask_rcnn.py
#
# Licence: Apache-2.0, open.
# Fetched from https://zenodo.org/records/10908163; a file of your own:
# model.backbone.init_cfg.checkpoint=/path/DinoBloom-L.pth
# GPU memory, counted for bfloat16 as in docs/memory.md: 10.2 GiB with an image at once, 24.2 with
# four; 6.2 and 9.9 with blocks recomputed. Time and score: not measured.
_base_ = 'bccd_vitl_mask_rcnn.py'

model = dict(
    backbone=dict(
        img_size=256,
        extra_tokens=1,
        layer_scale_init_value=1e-5,
        init_cfg=dict(checkpoint='https://zenodo.org/records/10908163/files/DinoBloom-L.pth'),
    ),
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(extra_tokens=dict(decay_mult=0.0))))
