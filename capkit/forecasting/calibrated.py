"""Intervals from what a model's own forecasts were wrong by, whatever the model says of itself.

Split conformal prediction by horizon (Vovk and others 2005; Stankeviciute and others, NeurIPS 2021) on a
window that rolls: it promises its level where errors to come are like those of the window.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from capkit.forecasting.forecast import Array, Prediction

if TYPE_CHECKING:
    from capkit.forecasting.models import Model, State

_BESIDE = 2  # neighbouring steps on either side whose errors count as well


@dataclass(frozen=True)
class _CalibratedState:
    inner: State
    reach: int
    kept: int
    history: Array
    made: tuple[tuple[int, Array], ...]  # earlier forecasts: where they start, and their centre

    def extend(self, values: Array) -> _CalibratedState:
        forecast = (self.history.size, self.inner.predict(self.reach).location)
        return replace(
            self,
            inner=self.inner.extend(values),
            history=np.concatenate([self.history, values]),
            made=(*self.made, forecast)[-self.kept :],
        )

    def predict(self, steps: int) -> Prediction:
        if steps > self.reach:
            raise ValueError(
                f"calibrated intervals reach one season, {self.reach} steps; got {steps}"
            )
        known = [(at, path) for at, path in self.made if at + steps <= self.history.size]
        errors = np.array([self.history[at : at + steps] - path[:steps] for at, path in known])
        wide = np.pad(errors, ((0, 0), (_BESIDE, _BESIDE)), mode="edge")
        pooled = [wide[:, shift : shift + steps] for shift in range(2 * _BESIDE + 1)]
        return Prediction(self.inner.predict(steps).location, errors=np.concatenate(pooled))


@dataclass(frozen=True)
class Calibrated:
    """Another model, with intervals from its forecasts of the last seasons.

    Parameters
    ----------
    model : Model
        Gives the centre.
    origins : int
        Seasons at the end of the history that are forecast by the model estimated before them, one after
        the other; as many forecasts stay in the window as time moves on.
    """

    model: Model
    origins: int = 52

    @property
    def name(self) -> str:
        return f"{self.model.name}_calibrated"

    @property
    def log(self) -> bool:
        return self.model.log

    def fit(self, history: Array, seasons: tuple[int, ...]) -> _CalibratedState:
        reach = max(seasons, default=0)
        start = history.size - self.origins * reach
        if reach < 1 or start < 2 * reach:
            raise ValueError(
                f"{self.name}: {history.size} values are too few for {self.origins} seasons of {reach} "
                "to calibrate on and two before them; give fewer origins"
            )
        state = _CalibratedState(
            self.model.fit(history[:start], seasons), reach, self.origins, history[:start], ()
        )
        for origin in range(start, history.size, reach):
            state = state.extend(history[origin : origin + reach])
        return replace(state, inner=self.model.fit(history, seasons))
