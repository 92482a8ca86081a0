# RedDino-S: DINOv2 of red cells (Zedda et al., 2025); the backbone is DinoBloom-S's.
#
#   mim train mmdet configs/bccd_reddino_s_mask_rcnn.py
#
# Licence: the code's is Apache-2.0; for the weights see their card.
# Fetched from https://huggingface.co/Snarcy/RedDino-small with `pip install huggingface_hub`; a
# file of your own: model.backbone.init_cfg.checkpoint=/path/RedDino_s.pth
# GPU memory, counted for bfloat16 as in docs/memory.md: 2.2 GiB with an image at once, 6.7 with
# four; 1.6 and 4.1 with blocks recomputed. Time and score: not measured.
_base_ = 'bccd_dinobloom_s_mask_rcnn.py'

model = dict(backbone=dict(init_cfg=dict(checkpoint='hf://Snarcy/RedDino-small')))
