"""A serving simulator: queues and continuous batching, exact and fast.

`arrivals` and `services` draw the randomness, `simulate_gg1` and its siblings run queues.
"""

from __future__ import annotations

from servemath_helpers.sim import arrivals, routing, services
from servemath_helpers.sim.benchfiles import (
    TPOT_DEFINITIONS,
    load_aiperf,
    load_guidellm,
    load_inference_perf,
    load_measurement_csv,
    load_vllm_bench,
    tpot_from,
)
from servemath_helpers.sim.calibration import Calibration, FitError, MetricError, calibrate
from servemath_helpers.sim.fleet import (
    DisaggregatedResult,
    FleetResult,
    simulate_disaggregated,
    simulate_fleet,
)
from servemath_helpers.sim.llm import LLMResult, simulate_llm
from servemath_helpers.sim.measurement import Measurement
from servemath_helpers.sim.queues import simulate_batch, simulate_gg1, simulate_ggc, simulate_loss
from servemath_helpers.sim.requests import Requests
from servemath_helpers.sim.results import (
    BatchResult,
    LittleCheck,
    LossResult,
    QueueResult,
    StepFunction,
    batch_means_interval,
    correlated_percentile_interval,
    correlation_time,
    trend_interval,
)
from servemath_helpers.sim.server import LLMServer, Speculation
from servemath_helpers.sim.steptime import (
    AchievedStep,
    CustomStep,
    LinearStep,
    RooflineStep,
    StepTime,
)
from servemath_helpers.sim.synthetic import azure_statistics, fit_modulation, synthetic_azure
from servemath_helpers.sim.timeline import Stays, Timeline
from servemath_helpers.sim.tracefiles import (
    load_azure,
    load_burstgpt,
    load_mooncake,
    read_azure,
    read_burstgpt,
    read_mooncake,
)
from servemath_helpers.sim.workloads import ClosedLoop, Sessions

__all__ = [
    "TPOT_DEFINITIONS",
    "AchievedStep",
    "BatchResult",
    "Calibration",
    "ClosedLoop",
    "CustomStep",
    "DisaggregatedResult",
    "FitError",
    "FleetResult",
    "LLMResult",
    "LLMServer",
    "LinearStep",
    "LittleCheck",
    "LossResult",
    "Measurement",
    "MetricError",
    "QueueResult",
    "Requests",
    "RooflineStep",
    "Sessions",
    "Speculation",
    "Stays",
    "StepFunction",
    "StepTime",
    "Timeline",
    "arrivals",
    "azure_statistics",
    "batch_means_interval",
    "calibrate",
    "correlated_percentile_interval",
    "correlation_time",
    "fit_modulation",
    "load_aiperf",
    "load_azure",
    "load_burstgpt",
    "load_guidellm",
    "load_inference_perf",
    "load_measurement_csv",
    "load_mooncake",
    "load_vllm_bench",
    "read_azure",
    "read_burstgpt",
    "read_mooncake",
    "routing",
    "services",
    "simulate_batch",
    "simulate_disaggregated",
    "simulate_fleet",
    "simulate_gg1",
    "simulate_ggc",
    "simulate_llm",
    "simulate_loss",
    "synthetic_azure",
    "tpot_from",
    "trend_interval",
]
