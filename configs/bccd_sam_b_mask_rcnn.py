# SAM's ViT-B/16, with its relative positions.
#
#   mim train mmdet configs/bccd_sam_b_mask_rcnn.py
#
# Licence: Apache-2.0, open.
# Meta's file is fetched, 0.4 GB.
# GPU memory, counted for bfloat16 as in docs/memory.md: 5.6 GiB with an image at once, 16.9 with
# four; 2.7 and 5.7 with blocks recomputed. Time and score: not measured.
_base_ = 'bccd_vitb_mask_rcnn.py'

model = dict(
    backbone=dict(
        img_size=1024,
        positions='relative',
        init_cfg=dict(
            checkpoint='https://dl.fbaipublicfiles.com/segment_anything/sam_vit_b_01ec64.pth'
        ),
    ),
)
