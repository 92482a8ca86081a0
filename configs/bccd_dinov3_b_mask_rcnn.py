# DINOv3 ViT-B/16: turned positions over the whole image, four registers.
#
#   mim train mmdet configs/bccd_dinov3_b_mask_rcnn.py
#
# Licence: DINOv3 License.
# Sign the form at https://ai.meta.com/resources/models-and-libraries/dinov3-downloads and put
# Meta's file into weights/; timm's and transformers' are read too:
# model.backbone.init_cfg.checkpoint=FILE
# GPU memory, counted for bfloat16 as in docs/memory.md: 4.4 GiB with an image at once, 11.9 with
# four; 2.7 and 5.6 with blocks recomputed. Time and score: not measured.
_base_ = 'bccd_vitb_mask_rcnn.py'

model = dict(
    backbone=dict(
        positions='rotary',
        extra_tokens=5,
        layer_scale_init_value=1e-5,
        norm_cfg=dict(type='LN', eps=1e-5),
        init_cfg=dict(checkpoint='weights/dinov3_vitb16_pretrain_lvd1689m.pth'),
    ),
)
# It has no stored positions, which the base leaves undecayed.
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys=dict(_delete_=True, extra_tokens=dict(decay_mult=0.0)))
)
