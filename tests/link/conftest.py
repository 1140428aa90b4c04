"""A shared machine is slow at times; slowness is no defect of the laws that are tested here."""

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
