"""`python -m fusion_pipeline`: the same as the command `fusion`."""

from fusion_pipeline.cli import main

main()
