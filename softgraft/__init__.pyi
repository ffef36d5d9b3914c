from .domain import Domain, open_domain

__all__ = ["Domain", "__version__", "open_domain"]

__version__: str
