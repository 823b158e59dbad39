"""Ciw and SimPy, written by others, give the same answers to the same questions."""

from __future__ import annotations

import numpy as np
import pytest

from servemath_helpers.sim import (
    arrivals,
    services,
    simulate_batch,
    simulate_gg1,
    simulate_ggc,
    simulate_loss,
)


def rng(seed):
    return np.random.default_rng(seed)


def simpy_queue(simpy, arrivals_s, services_s, c, room=None):
    """Return the wait of each customer, None if it was lost."""
    environment = simpy.Environment()
    servers = simpy.Resource(environment, capacity=c)
    waits = [None] * len(arrivals_s)

    def customer(i):
        if room is not None and servers.count + len(servers.queue) >= room:
            return
        with servers.request() as turn:
            came = environment.now
            yield turn
            waits[i] = environment.now - came
            yield environment.timeout(services_s[i])

    def source():
        for i, arrival in enumerate(arrivals_s):
            yield environment.timeout(arrival - environment.now)
            environment.process(customer(i))

    environment.process(source())
    environment.run()
    return waits


def ciw_queue(ciw, arrival, service, c, customers, seed=1, capacity=float("inf")):
    """Return the records of a Ciw node in order of arrival, and its simulation."""
    network = ciw.create_network(
        arrival_distributions=[arrival],
        service_distributions=[service],
        number_of_servers=[c],
        queue_capacities=[capacity],
    )
    ciw.seed(seed)
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_customers(customers, method="Arrive")
    return sorted(simulation.get_all_records(), key=lambda record: record.id_number)


@pytest.mark.parametrize("c", [1, 3])
def test_simpy_gives_every_customer_the_same_wait(c):
    simpy = pytest.importorskip("simpy")
    arrivals_s = arrivals.bursty(3000, 0.8 * c, 4, rng(1))
    services_s = services.lognormal(3000, 1.0, 2, rng(2))
    waits = simpy_queue(simpy, arrivals_s.tolist(), services_s.tolist(), c)
    np.testing.assert_allclose(simulate_ggc(arrivals_s, services_s, c).wait_s, waits, atol=1e-6)


@pytest.mark.parametrize("buffer", [0, 2])
def test_simpy_loses_the_same_customers(buffer):
    simpy = pytest.importorskip("simpy")
    arrivals_s = arrivals.poisson(3000, 1.6, rng(3))
    services_s = services.exponential(3000, 1.0, rng(4))
    waits = simpy_queue(simpy, arrivals_s.tolist(), services_s.tolist(), 2, room=2 + buffer)
    run = simulate_loss(arrivals_s, services_s, 2, buffer=buffer)
    assert run.accepted.tolist() == [wait is not None for wait in waits]
    kept = [wait for wait in waits if wait is not None]
    np.testing.assert_allclose(run.wait_s, kept, atol=1e-6)


def test_simpy_serves_the_same_greedy_batches():
    simpy = pytest.importorskip("simpy")
    arrivals_s = arrivals.poisson(2000, 100, rng(5)).tolist()
    environment = simpy.Environment()
    queue = simpy.Store(environment)
    departures = [0.0] * len(arrivals_s)

    def source():
        for i, arrival in enumerate(arrivals_s):
            yield environment.timeout(arrival - environment.now)
            yield queue.put(i)

    def server():
        while True:
            batch = [(yield queue.get())]
            while queue.items and len(batch) < 8:
                batch.append((yield queue.get()))
            yield environment.timeout(0.05 + 0.0005 * len(batch))
            for i in batch:
                departures[i] = environment.now

    environment.process(source())
    environment.process(server())
    environment.run()
    run = simulate_batch(arrivals_s, 8, 0.05, 0.0005, "greedy")
    np.testing.assert_allclose(run.departure_s, departures, atol=1e-6)


def test_ciw_gives_every_customer_the_same_wait():
    ciw = pytest.importorskip("ciw")
    n = 1500
    arrivals_s = arrivals.poisson(n, 1.6, rng(6))
    services_s = services.exponential(n, 1.0, rng(7))
    gaps = np.diff(arrivals_s, prepend=0).tolist()
    records = ciw_queue(
        ciw,
        ciw.dists.Sequential([*gaps, 1e9]),
        ciw.dists.Sequential(services_s.tolist()),
        2,
        n,
    )
    theirs = {record.id_number - 1: record.waiting_time for record in records}
    ours = simulate_ggc(arrivals_s, services_s, 2).wait_s
    assert len(theirs) > n - 100  # the last are still there when Ciw stops
    for i, wait in theirs.items():
        assert ours[i] == pytest.approx(wait, abs=1e-6)


@pytest.mark.no_cover
@pytest.mark.parametrize("c", [1, 3])
def test_ciw_with_its_own_luck_has_the_same_mean_within_the_intervals(c):
    ciw = pytest.importorskip("ciw")
    n, lam = 20_000, 0.7 * c
    records = ciw_queue(ciw, ciw.dists.Exponential(lam), ciw.dists.Exponential(1.0), c, n, seed=11)
    theirs = np.array([record.waiting_time for record in records])[n // 10 :]

    # Standard errors of both means from batches, since neighbours are correlated.
    def batch_means(values):
        means = values[values.size % 20 :].reshape(20, -1).mean(axis=1)
        return means.mean(), means.std(ddof=1) / np.sqrt(20)

    ours = simulate_ggc(arrivals.poisson(n, lam, rng(8)), services.exponential(n, 1, rng(9)), c)
    (a, error_a), (b, error_b) = batch_means(theirs), batch_means(ours.without_warmup().wait_s)
    assert abs(a - b) < 3.5 * np.hypot(error_a, error_b)


def test_ciw_loses_the_same_share_within_the_interval():
    ciw = pytest.importorskip("ciw")
    n = 20_000
    records = ciw_queue(
        ciw, ciw.dists.Exponential(1.6), ciw.dists.Exponential(1.0), 2, n, seed=12, capacity=0
    )
    lost = sum(record.record_type == "rejection" for record in records) / len(records)
    run = simulate_loss(arrivals.poisson(n, 1.6, rng(10)), services.exponential(n, 1, rng(11)), 2)
    error = np.sqrt(2 * lost * (1 - lost) / n)
    assert lost == pytest.approx(run.loss_fraction(), abs=4 * error)


def test_simpy_agrees_on_a_deterministic_clock():
    simpy = pytest.importorskip("simpy")
    clock = arrivals.periodic(200, 0.5)
    waits = simpy_queue(simpy, clock.tolist(), [0.55] * 200, 1)
    np.testing.assert_allclose(simulate_gg1(clock, np.full(200, 0.55)).wait_s, waits, atol=1e-6)
