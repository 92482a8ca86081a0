"""Programs around training: a folder each, a function first and a command line over it."""

from cellkit.files.program import drop_absent_backend

drop_absent_backend()  # before any of them imports MMDetection, which imports Matplotlib
