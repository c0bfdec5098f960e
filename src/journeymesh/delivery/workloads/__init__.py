"""A workload: one container run by the platform, in any language, from a Score file of a dozen lines.

    score.py        the Score file: what it may say, and what is read of it
    shape.py        names, labels and waves that every service of the tree has
    pods.py         candidate and stable: Deployments, as restricted as Kubernetes knows
    serving.py      what leads to them: Services, the route, the budget, the fences between pods
    gate.py         the Jobs that stop a bad release, and the black-box tests that they run
    placing.py      a workload in one environment: overlay, pinned images, child Application
    contract.py     the stub of its data contract
    yaml_text.py    manifests as text, the same bytes each time
    render.py       every file that follows from a Score file: written, or compared with what is there
    sources.py      the language of a source folder, and a Dockerfile for it
    pipelines.py    what a CI product runs, one ``make`` call a stage
    begin.py        a workload that is not there yet

Only the Score file, the contract, patches of overlays and tests of one's own are written by people.
"""
