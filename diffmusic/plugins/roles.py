"""Roles of solvers and metrics, and the fields of a `Spec` that older plugins say in tags and in prose."""

from __future__ import annotations

from dataclasses import replace

from diffmusic.plugins.spec import Spec

ROLES = {"solver": ("prior", "classical", "editor"), "metric": ("pair", "set")}
"""For each kind of component that has them."""


def completed(spec: Spec, kind: str) -> Spec:
    """Return an offer with every field set.

    Plugins that were written before `Spec` had these fields have tags instead: the role of a solver or a metric,
    ``solve`` for a metric that every run reports, the pipelines of a backbone; and "(higher is better)" in a summary.

    Raises:
        TypeError: A role that this kind of component does not have.
    """
    roles = ROLES.get(kind, ())
    if spec.role and spec.role not in roles:
        raise TypeError(f"{spec.name}: the role {spec.role!r} of a {kind} is none of {', '.join(roles) or 'them'}")
    role = spec.role or next((tag for tag in spec.tags if tag in roles), "")
    if kind == "backbone":
        return replace(spec, pipelines=spec.pipelines or spec.tags)
    if kind == "metric":
        said = [higher for higher in (True, False) if f"{'higher' if higher else 'lower'} is better" in spec.summary]
        better = said[0] if spec.higher_is_better is None and said else spec.higher_is_better
        return replace(spec, role=role, higher_is_better=better, reported=spec.reported or "solve" in spec.tags)
    return replace(spec, role=role) if role else spec
