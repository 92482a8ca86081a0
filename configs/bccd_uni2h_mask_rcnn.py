# UNI2-h: ViT-H/14 of histology, SwiGLU and eight registers.
#
#   mim train mmdet configs/bccd_uni2h_mask_rcnn.py
#
# Licence: CC-BY-NC-ND 4.0 (no commercial use).
# Gated: sign the form at https://huggingface.co/MahmoodLab/UNI2-h, `pip install huggingface_hub`,
# `hf auth login`; or give the file: model.backbone.init_cfg.checkpoint=/path/pytorch_model.bin
# GPU memory, counted for bfloat16 as in docs/memory.md: 19.4 GiB with an image at once, 41.6 with
# four; 12.2 and 16.7 with blocks recomputed. Time and score: not measured.
_base_ = 'bccd_vitl_mask_rcnn.py'

model = dict(
    backbone=dict(
        arch=dict(
            _delete_=True,
            embed_dims=1536,
            num_layers=24,
            num_heads=24,
            feedforward_channels=6144,  # of which SwiGLU takes two thirds
        ),
        layer_cfgs=dict(ffn_type='swiglu_fused'),
        img_size=256,
        extra_tokens=9,
        layer_scale_init_value=1e-5,
        init_cfg=dict(checkpoint='hf://MahmoodLab/UNI2-h/pytorch_model.bin'),
    ),
    neck=dict(in_channels=1536),
)
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=dict(extra_tokens=dict(decay_mult=0.0))))
