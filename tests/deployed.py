"""What the compose file and the chart's values may say: a schema of what they use, and of nothing else.

After the Compose specification and the values of Dagster's Helm chart (1.13).
"""

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

QUANTITY = re.compile(r"^(\d+)(Ki|Mi|Gi|Ti|m)?$")


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Mount(Strict):
    type: Literal["bind", "volume"]
    source: str
    target: str
    read_only: bool = False


class Healthcheck(Strict):
    test: list[str]
    interval: str = Field(pattern=r"^\d+s$")


class Started(Strict):
    condition: Literal["service_started", "service_healthy"]


class Build(Strict):
    context: str
    dockerfile: str


class Service(Strict):
    image: str
    build: Build | None = None
    hostname: str | None = None
    command: list[str] = []
    environment: dict[str, str | None] = {}
    profiles: list[str] = []
    volumes: list[str | Mount] = []
    ports: list[str] = []
    depends_on: list[str] | dict[str, Started] = []
    healthcheck: Healthcheck | None = None
    restart: Literal["unless-stopped"]


class Composed(Strict):
    services: dict[str, Service]
    volumes: dict[str, dict[str, Any]]


class Claim(Strict):
    claimName: str
    readOnly: bool = False


class Volume(Strict):
    name: str
    persistentVolumeClaim: Claim


class VolumeMount(Strict):
    name: str
    mountPath: str
    readOnly: bool = False


class Amounts(Strict):
    cpu: str = Field(pattern=QUANTITY.pattern)
    memory: str = Field(pattern=QUANTITY.pattern)


class Resources(Strict):
    requests: Amounts
    limits: Amounts


class Secret(Strict):
    name: str


class Variable(Strict):
    name: str
    value: str  # YAML's bare 8 or true is no text, and the cluster refuses it


class Image(Strict):
    repository: str
    tag: str
    pullPolicy: Literal["Always", "IfNotPresent", "Never"]


class Deployment(Strict):
    name: str = Field(pattern=r"^[a-z0-9-]+$")
    image: Image
    dagsterApiGrpcArgs: list[str]
    port: int
    volumes: list[Volume]
    volumeMounts: list[VolumeMount]
    env: list[Variable]
    envSecrets: list[Secret]


class Deployments(Strict):
    enabled: bool
    deployments: list[Deployment]


class K8sRunLauncher(Strict):
    envVars: list[str]
    envSecrets: list[Secret]
    volumes: list[Volume]
    volumeMounts: list[VolumeMount]
    resources: Resources


class Launchers(Strict):
    k8sRunLauncher: K8sRunLauncher


class RunLauncher(Strict):
    type: Literal["K8sRunLauncher"]
    config: Launchers


class Database(Strict):
    enabled: bool
    postgresqlScheme: str
    existingSecret: str


class Global(Strict):
    postgresqlSecretName: str


class WebserverService(Strict):
    type: Literal["ClusterIP"]


class Webserver(Strict):
    service: WebserverService


class RunMonitoring(Strict):
    enabled: bool
    pollIntervalSeconds: int
    startTimeoutSeconds: int
    cancelTimeoutSeconds: int
    maxResumeRunAttempts: int
    freeSlotsAfterRunEndSeconds: int


class RunRetries(Strict):
    enabled: bool
    maxRetries: int
    retryOnAssetOrOpFailure: bool


class Workers(Strict):
    useThreads: bool
    numWorkers: int


class Daemon(Strict):
    runMonitoring: RunMonitoring
    runRetries: RunRetries
    schedules: Workers
    sensors: Workers
    backfills: Workers


class Runs(Strict):
    maxConcurrentRuns: int


class Pools(Strict):
    granularity: Literal["op", "run"]
    defaultLimit: int


class Concurrency(Strict):
    enabled: bool
    runs: Runs
    pools: Pools


class Days(Strict):
    skipped: int
    failure: int
    success: int


class Purge(Strict):
    purgeAfterDays: Days


class Retention(Strict):
    enabled: bool
    schedule: Purge
    sensor: Purge


class PythonLogs(Strict):
    pythonLogLevel: str
    managedPythonLoggers: list[str]


class Enabled(Strict):
    enabled: bool


class Values(Strict):
    postgresql: Database
    generatePostgresqlPasswordSecret: bool
    global_: Global = Field(alias="global")
    dagsterWebserver: Webserver
    dagsterDaemon: Daemon
    pythonLogs: PythonLogs
    concurrency: Concurrency
    retention: Retention
    telemetry: Enabled
    runLauncher: RunLauncher
    user_deployments: Deployments = Field(alias="dagster-user-deployments")
