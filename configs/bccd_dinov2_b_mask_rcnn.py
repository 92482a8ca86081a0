# DINOv2 ViT-B/14, its patches resampled to 16.
#
#   mim train mmdet configs/bccd_dinov2_b_mask_rcnn.py
#
# Licence: Apache-2.0, open.
# Meta's file is fetched, 0.3 GB.
# GPU memory, counted for bfloat16 as in docs/memory.md: 4.1 GiB with an image at once, 10.8 with
# four; 2.7 and 5.6 with blocks recomputed. Time and score: not measured.
_base_ = 'bccd_vitb_mask_rcnn.py'

model = dict(
    backbone=dict(
        img_size=592,  # 37 x 37 positions, as it was trained
        extra_tokens=1,
        layer_scale_init_value=1e-5,
        init_cfg=dict(
            checkpoint='https://dl.fbaipublicfiles.com/dinov2/dinov2_vitb14/dinov2_vitb14_pretrain.pth'
        ),
    ),
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(extra_tokens=dict(decay_mult=0.0))))
