"""A plan for your own service: model, GPUs and prices, traffic, and what they come to.

`plan_service` puts together what the rest of the package computes: bytes and steps of a
deployment, calibration to a measured run, the simulator, and plans of fleets.
"""

from __future__ import annotations

from servemath_helpers.service.offers import Offer
from servemath_helpers.service.plan import ServicePlan, plan_service

__all__ = ["Offer", "ServicePlan", "plan_service"]
