# Score, suppression and visibility over a run's predictions of the validation part: nothing is
# trained, a thousand candidates take seconds.
#
#   make evaluate RUN=work_dirs/NAME PART=val     # where there are no predictions yet
#   make tune SPACE=configs/tune/thresholds.py RUN=work_dirs/NAME TRIALS=1000
searches = 'predictions'
objectives = {'instance/pq': 'maximize'}
sampler = dict(name='tpe', seed=0)
space = {
    'score_thr': dict(low=0.05, high=0.95),
    # The model has suppressed boxes above its own threshold already: a greater one changes nothing.
    'nms_iou': dict(low=0.1, high=0.5),
    'least_visible': dict(low=0.1, high=0.9),
}
