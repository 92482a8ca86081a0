# Augmentation and scale of the CPU configuration's fine-tuning.
#
#   make tune SPACE=configs/tune/augmentation.py TRIALS=24
#
# A trial is a run of about 6 minutes on two cores, less where it is pruned. Found: docs/results.md.
config = 'configs/bccd_hybrid_mask_rcnn_cpu.py'
sampler = 'tpe'
pruner = 'hyperband'

_train = 'train_dataloader.dataset.pipeline'
_tested = [f'{part}_dataloader.dataset.pipeline.1.scale' for part in ('val', 'test')]
space = {
    'scale': dict(
        keys=[f'{_train}.2.scale', *_tested], choices=[(800, 600), (1024, 768), (1280, 960)]
    ),
    f'{_train}.2.ratio_range': [(1.0, 1.0), (0.8, 1.25), (0.6, 1.67)],
    f'{_train}.3.crop_size': [(384, 288), (512, 384)],
    f'{_train}.5.prob': [0.0, 0.75],
    f'{_train}.6.hue_delta': dict(low=0, high=18, step=3, points=3),
    f'{_train}.6.contrast_range': [(1.0, 1.0), (0.7, 1.3), (0.5, 1.5)],
}
