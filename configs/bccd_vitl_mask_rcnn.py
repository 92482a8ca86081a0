# ViT-L/16 of MAE; drop path and layer decay are ViTDet's for L.
#
#   mim train mmdet configs/bccd_vitl_mask_rcnn.py
#
# Licence: CC-BY-NC 4.0 (no commercial use), open.
# Meta's file is fetched, 1.2 GB; timm's ViT-L of ImageNet fits as well.
# GPU memory, counted for bfloat16 as in docs/memory.md: 9.8 GiB with an image at once, 22.6 with
# four; 6.2 and 9.9 with blocks recomputed. Time and score: not measured.
_base_ = 'bccd_vitb_mask_rcnn.py'

model = dict(
    backbone=dict(
        arch='large',
        drop_path_rate=0.4,
        init_cfg=dict(
            checkpoint='https://dl.fbaipublicfiles.com/mae/pretrain/mae_pretrain_vit_large.pth'
        ),
    ),
    neck=dict(in_channels=1024),
)
optim_wrapper = dict(paramwise_cfg=dict(layer_decay_rate=0.8))
