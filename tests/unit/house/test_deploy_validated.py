"""Compose file, image and chart values, held against schemas and against what they start.

The schemas list what these files may use, by the Compose specification (5.0) and the values of Dagster's chart (1.13):
a misspelt key, which both would overlook or refuse on the day of the deployment, fails here. Neither `docker` nor
`helm` is called.
"""

import re
import shlex
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from click.testing import CliRunner
from dagster._cli.api import grpc_command
from dagster._core.instance.config import dagster_instance_config_schema
from dagster._daemon.cli import run_command
from dagster_shared.ipc import interrupt_on_ipc_shutdown_message  # noqa: F401  (the package is at hand)
from dagster_webserver.cli import dagster_webserver
from pydantic import BaseModel, ConfigDict, Field

from fusion_pipeline.cli import main
from fusion_pipeline.settings import Settings
