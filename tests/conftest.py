"""Settings for the whole suite."""

from hypothesis import settings

# Both cores are busy: how long one example took says nothing.
settings.register_profile("servemath", deadline=None, derandomize=True)
settings.load_profile("servemath")
