# The CPU configuration for a handful of images of a kind that the model in the box knows: look at
# its outlines first. Every second sample is a synthetic smear, and the weights are the mean of the
# box's and those trained, so that it learns without forgetting.
#
#   make train CONFIG=configs/bccd_hybrid_mask_rcnn_cpu_few.py
#
# 4 minutes on two cores (AMD EPYC, AVX512-BF16). Of 5 real images, on 12 unseen ones: mask AP
# 0.818, AP50 0.966; by the CPU configuration 0.788 and 0.930, without an image 0.815 and 0.969
# (docs/results.md). `make train` takes it for fewer than ten images.
_base_ = ['bccd_hybrid_mask_rcnn_cpu.py', '_base_/augment/synthetic.py']

# The base: 0-1 load, 2 resize, 3-4 crop, 5 flip, 6 colours, 7 pack.
train_pipeline = [
    dict(
        type='RandomChoice',
        transforms=[_base_.train_pipeline[:4], _base_.augment_synthetic],
        prob=[0.5, 0.5],
    ),
    *_base_.train_pipeline[4:],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

custom_hooks = [
    *_base_.custom_hooks,
    dict(type='EMAHook', ema_type='MeanWithStart', share=0.5),
]
