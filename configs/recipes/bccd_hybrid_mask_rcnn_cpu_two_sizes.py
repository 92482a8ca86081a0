# The CPU configuration, seen in eight views by --tta: four flips at two sizes, in the place of four
# flips. Training is the same; any run of that configuration may be evaluated with it.
#
#   make evaluate ARGS="--tta --config configs/recipes/bccd_hybrid_mask_rcnn_cpu_two_sizes.py"
#
# Validation mask AP 0.885 to 0.888, by four flips 0.880 to 0.882 (five checkpoints); ten times the
# time of one view (docs/evaluation.md).
_base_ = '../bccd_hybrid_mask_rcnn_cpu.py'

sizes = [(1024, 768), (1280, 960)]
flips = ['horizontal', 'vertical', 'diagonal']
tta_pipeline = [
    dict(type='LoadSmear'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale=size, keep_ratio=True) for size in sizes],
            [
                dict(type='RandomFlip', prob=0.0),
                *[dict(type='RandomFlip', prob=1.0, direction=flip) for flip in flips],
            ],
            [dict(type='PackDetInputs')],
        ],
    ),
]
