# RedDino-L: DINOv2 of red cells (Zedda et al., 2025); the backbone is DinoBloom-L's.
#
#   mim train mmdet configs/bccd_reddino_l_mask_rcnn.py
#
# Licence: the code's is Apache-2.0; for the weights see their card.
# Fetched from https://huggingface.co/Snarcy/RedDino-large with `pip install huggingface_hub`; a
# file of your own: model.backbone.init_cfg.checkpoint=/path/RedDino_l.pth
# GPU memory, counted for bfloat16 as in docs/memory.md: 10.2 GiB with an image at once, 24.2 with
# four; 6.2 and 9.9 with blocks recomputed. Time and score: not measured.
_base_ = 'bccd_dinobloom_l_mask_rcnn.py'

model = dict(backbone=dict(init_cfg=dict(checkpoint='hf://Snarcy/RedDino-large')))
