# ViT-S/16 of ImageNet-21k, the small sister of the main configuration.
#
#   mim train mmdet configs/bccd_vits_mask_rcnn.py
#
# Licence: Apache-2.0, open.
# From timm's hub, with `pip install huggingface_hub`; or a file of your own.
# GPU memory, counted for bfloat16 as in docs/memory.md: 2.2 GiB with an image at once, 6.4 with
# four; 1.6 and 4.1 with blocks recomputed. Time and score: not measured.
_base_ = 'bccd_vitb_mask_rcnn.py'

model = dict(
    backbone=dict(
        arch='deit-small',
        init_cfg=dict(
            checkpoint='hf://timm/vit_small_patch16_224.augreg_in21k', mean=[0.5] * 3, std=[0.5] * 3
        ),
    ),
    neck=dict(in_channels=384),
)
