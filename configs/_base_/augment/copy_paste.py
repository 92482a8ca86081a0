# Copies of a picture's own cells, laid elsewhere on it. After the crop, before colour and optics.
augment_copy_paste = [
    dict(type='PasteCells', prob=0.5, most=12, overlap=0.3, min_visible=0.5),
]
