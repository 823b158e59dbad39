# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Your own service
#
# Name a model, GPUs with their prices, and what is asked of the service. You get one page: how
# many replicas of which GPU to rent, what they cost, what users see, and how sure that is.
# Nothing here is graded; change what you like. A plan takes a few seconds.
#
# Behind it are the chapters: bytes and steps (3.1 to 3.9), continuous batching (3.11), queues
# (1.1, 4.1), money (1.6), and fleets that are played against their traffic (chapter 5).

# %%
import numpy as np

from servemath_helpers import facts, published
from servemath_helpers.service import plan_service
from servemath_helpers.sim import synthetic_azure

# %% [markdown]
# ## The model
#
# A name of the catalogue, or the name under which the model lies on the Hugging Face hub. A name
# that is not known is answered with the nearest ones: write `"Llama-4.1-8B"` and see.

# %%
model = "meta-llama/Llama-3.1-8B-Instruct"
print(", ".join(facts.models()))

# %% [markdown]
# A model that is not there comes from its `config.json`: `model = json.load(open("config.json"))`.
# Only its shape counts. Its weights are as published unless you ask for others further down.

# %% [markdown]
# ## GPUs and prices
#
# What a GPU costs an hour, as text, so that cents stay exact. The prices here are examples: put in
# yours. A GPU that is not in the list is a `facts.Accelerator` with the numbers of its data sheet.

# %%
usd_per_gpu_hour = {"H100-SXM": "2.50", "A100-80GB-SXM": "1.50", "L40S": "0.90"}
print(", ".join(facts.accelerators()))

# %% [markdown]
# ## What is asked
#
# Here 2000 requests are drawn with the lengths and bursts of Azure's conversation trace, eight
# times as fast. Put your own log in their place:
#
# | you have | write |
# |---|---|
# | Azure's trace, or a table in its columns | `load_azure("trace.csv", limit=2000)` |
# | Mooncake's format, one JSON object a line | `load_mooncake("trace.jsonl", limit=2000)` |
# | BurstGPT's table | `load_burstgpt("trace.csv", limit=2000)` |
# | a log of another kind | `Requests(arrival_s, prompt_tokens, output_tokens)` |
#
# All of them come from `servemath_helpers.sim`.

# %%
traffic = synthetic_azure("conv", 2000, np.random.default_rng(7), speedup=8)

# %% [markdown]
# ## The plan
#
# The promise is yours too: `share` of the requests get their first token within `ttft_s` seconds,
# and the others at `tpot_s` seconds a token.

# %%
plan = plan_service(
    model, usd_per_gpu_hour, traffic, ttft_s=1.0, tpot_s=0.04, share="0.95", engine="vllm"
)
plan

# %% [markdown]
# **How to read it.** Every number of replicas is played with the whole traffic three times: with
# the iteration time as predicted, and with it as short and as long as the band allows. Rent what the
# slow edge asks for, unless you measure first. `help(plan_service)` lists what else can be said:
# formats of weights and cache, GPUs of a replica, limits of the batch.
#
# The band speaks of the speed of the server. Tomorrow's traffic is another matter: `speedup=1.5`
# plays the same requests half as fast again.

# %%
for speedup in (1.0, 1.5, 2.0):
    later = plan_service(
        model, {"H100-SXM": "2.50"}, traffic, speedup=speedup, tpot_s=0.04, engine="vllm"
    )
    print(f"{speedup:.1f} times the traffic: {later.headline.partition(': ')[2]}")

# %% [markdown]
# ## Measured, not predicted
#
# One replica and a benchmark of it tell more than any table. Save the result with its requests,
# then load it:
#
# | tool | loader |
# |---|---|
# | `vllm bench serve --save-result --save-detailed` | `load_vllm_bench("result.json")` |
# | GuideLLM, inference-perf, AIPerf | `load_guidellm`, `load_inference_perf`, `load_aiperf` |
# | the course's own load generator, or a table | `load_measurement_csv("run.csv")` |
#
# The time of an iteration is then fitted to your run, and the band is what nine in ten requests
# kept to that the fit had not seen. Without `traffic` the plan is for the run's own requests.
# Below is a run that comes with the course, of an engine on one card.

# %%
run = published.server_run()
print(f"{run.model} on {run.accelerator}, {run.engine}, {len(run.measurement.requests)} requests")
measured = plan_service(
    run.model,
    {run.accelerator: "0.45"},
    measured=run.measurement,
    kv_tokens=run.kv_tokens,
    max_batched_tokens=2048,
    engine="vllm",
    ttft_s=2.0,
    tpot_s=0.04,
)
measured

# %% [markdown]
# `kv_tokens` is the size of the cache that the server logs at start, `max_batched_tokens` and
# `max_batch` are its own limits. `print(measured.calibration.describe())` shows the fit and its errors.
#
# *Source of the run: casys-kaist/LLMServingSim, bench/examples, MIT.*
