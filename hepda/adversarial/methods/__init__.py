"""Methods of adaptation: each is one class with its own fields, and registry.py lists them.

Nothing here loads torch before a method is built, so that the analysis file can be checked against the fields.
"""

from hepda.adversarial.methods.method import Comparison, Method, Parts
from hepda.adversarial.methods.registry import METHODS, build, methods_of

__all__ = ["METHODS", "Comparison", "Method", "Parts", "build", "methods_of"]
