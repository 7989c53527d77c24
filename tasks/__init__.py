"""The commands of run.py, a package each, and what they share in `common`.

    common/     options, the training loop and its state, progress, the run's folder, files, figures' style, the machine
    covid/      the sequence study
    vae/        the image study
    study/      both studies in full, and the page that shows them
    bench/      speed beside other libraries
    explain/    a page that plays back-propagation step by step
    exercise/   pieces of nn to write yourself
    gradcheck.py    every op of nn, checked

`covid` and `vae` know only `common`; `study` and `bench` may use both studies, but not each other; `explain` and
`exercise` know only `common`.

Read next: covid/train.py, which is written to be read from top to bottom.
"""
