"""The command line: `fusion run PAIR`, `fuse`, `analyze`, `downscale`, `inspect`, `simulate`, `fetch`, `harmony`,
`doctor`, `new-survey`, `pull`, `summary`.

Belongs here: the root command, one module a command, and how results and mistakes are shown. Does not belong
here: anything a notebook could not do with the library.
"""

from __future__ import annotations

from fusion_pipeline.cli.analyze import analyze
from fusion_pipeline.cli.doctor import doctor
from fusion_pipeline.cli.downscale import downscale
from fusion_pipeline.cli.fetch import fetch
from fusion_pipeline.cli.fuse import fuse
from fusion_pipeline.cli.harmony import harmony
from fusion_pipeline.cli.inspect import inspect
from fusion_pipeline.cli.new_survey import new_survey
from fusion_pipeline.cli.pull import pull
from fusion_pipeline.cli.root import main
from fusion_pipeline.cli.run import run
from fusion_pipeline.cli.simulate import simulate
from fusion_pipeline.cli.summary import summary

for command in (
    run,
    fuse,
    analyze,
    downscale,
    inspect,
    simulate,
    fetch,
    harmony,
    doctor,
    new_survey,
    pull,
    summary,
):
    main.add_command(command)

__all__ = ["main"]
