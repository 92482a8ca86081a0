# UNI: ViT-L/16 of histology (Chen et al., Nature Medicine 2024).
#
#   mim train mmdet configs/bccd_uni_mask_rcnn.py
#
# Licence: CC-BY-NC-ND 4.0 (no commercial use).
# Gated: sign the form at https://huggingface.co/MahmoodLab/UNI, `pip install huggingface_hub`,
# `hf auth login`; or give the file: model.backbone.init_cfg.checkpoint=/path/pytorch_model.bin
# GPU memory, counted for bfloat16 as in docs/memory.md: 10.2 GiB with an image at once, 24.2 with
# four; 6.2 and 9.9 with blocks recomputed. Time and score: not measured.
_base_ = 'bccd_vitl_mask_rcnn.py'

model = dict(
    backbone=dict(
        extra_tokens=1,
        layer_scale_init_value=1e-5,
        init_cfg=dict(checkpoint='hf://MahmoodLab/UNI/pytorch_model.bin'),
    ),
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(extra_tokens=dict(decay_mult=0.0))))
