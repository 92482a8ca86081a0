# Stain method and strength, in training and in testing alike; strength 0 leaves images as they are.
#
#   make tune SPACE=configs/tune/stain.py TRIALS=16
#
# A trial is a run of about 7 minutes on two cores, less where it is pruned. Found: docs/results.md.
config = 'configs/bccd_hybrid_mask_rcnn_macenko.py'
sampler = 'tpe'
pruner = 'median'

_stain = [f'{part}_dataloader.dataset.pipeline.1' for part in ('train', 'val', 'test')]
space = {
    'method': dict(
        keys=[f'{step}.method' for step in _stain], choices=['reinhard', 'macenko', 'vahadane']
    ),
    'strength': dict(keys=[f'{step}.strength' for step in _stain], low=0.0, high=1.0, step=0.25),
}
