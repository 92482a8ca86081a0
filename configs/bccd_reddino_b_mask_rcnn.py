# RedDino-B: DINOv2 of red cells (Zedda et al., 2025); the backbone is DinoBloom-B's.
#
#   mim train mmdet configs/bccd_reddino_b_mask_rcnn.py
#
# Licence: the code's is Apache-2.0; for the weights see their card.
# Fetched from https://huggingface.co/Snarcy/RedDino-base with `pip install huggingface_hub`; a
# file of your own: model.backbone.init_cfg.checkpoint=/path/RedDino_b.pth
# GPU memory, counted for bfloat16 as in docs/memory.md: 4.1 GiB with an image at once, 10.8 with
# four; 2.7 and 5.6 with blocks recomputed. Time and score: not measured.
_base_ = 'bccd_dinobloom_b_mask_rcnn.py'

model = dict(backbone=dict(init_cfg=dict(checkpoint='hf://Snarcy/RedDino-base')))
