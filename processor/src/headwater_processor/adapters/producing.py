"""The producer that outlives its errors is the runtime's; the worker's letters and images go through it."""

from headwater.runtime.producing import Headers, Reported, SteadyProducer, advice

__all__ = ["Headers", "Reported", "SteadyProducer", "advice"]
