"""One small robust regression for every step ahead: the strongest model here for hourly demand.

It says how far each coming hour will be from the same hour one season ago, from how far the last
hours and yesterday were from theirs, what the last six seasons had at that hour, and what the same
weeks did a year ago. It learns from origins at the same time of the season as the forecast's own (a
Monday midnight from Monday midnights), by Huber's M-estimator, so that one wild week does not write
the coefficients; what it is told is cleaned of single hours that leap out of their day. Intervals are
empirical: the errors of those regressions, and of the forecasts made with them since.

The defaults of its constants have the least pinball loss, at 24 and 168 hours, on the weekly origins of 2017 of
the application server (`benchmarks/forecasting.py`); its figures are taken on 2018 to 2020. That rule was settled
after scores on those years had been seen: they are not untouched, and the page shows every other choice.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.ndimage import median_filter

from capkit.forecasting.forecast import Array, Prediction

_USED = 100  # seasons to learn from
_LEAST = 45  # fewer do not carry the coefficients
_YEAR = 52  # seasons
_ROUNDS = 7  # of reweighting
_RIDGE = 1e-6
_SPIKE = 20.0  # upper quartiles of the leaps, beyond which an hour is a spike
_NEAR = 7  # width in steps of what an hour is held against


def _usual(history: Array, season: int, profile: int) -> Array:
    """Median of the last seasons at each step, one season beyond the history; NaN at the start."""
    start = profile * season
    usual = np.full(history.size + season, np.nan)
    lags = range(season, start + 1, season)
    shifted = [history[start - k : history.size + season - k] for k in lags]
    ordered = np.sort(np.stack(shifted, axis=1), axis=1)  # twice as fast as np.median
    usual[start:] = ordered[:, [(profile - 1) // 2, profile // 2]].mean(axis=1)
    return usual


def _without_spikes(history: Array, season: int, profile: int) -> Array:
    """Replace single hours that are far from usual while the hours around them are not."""
    start = profile * season
    usual = _usual(history, season, profile)[start : history.size]
    deviation = history[start:] - usual
    around = median_filter(deviation, _NEAR, mode="nearest")
    leap = np.abs(deviation - around)
    clean = np.where(leap > _SPIKE * np.quantile(leap, 0.75), usual + around, history[start:])
    return np.concatenate([history[:start], clean])


def _features(
    history: Array, origins: Array, usual: Array, day: int, season: int, year: int
) -> Array:
    """What each origin knows about each step of its next season: (origins, steps, features)."""
    size = history.size
    from_season = np.full(size, np.nan)
    from_season[season:] = history[season:] - history[:-season]
    from_usual = history - usual[:size]
    steps = np.arange(season)
    target = origins[:, None] + steps
    yesterday = origins[:, None] - day + steps % day
    base = history[target - season]
    columns = [np.ones(target.shape), from_season[yesterday], from_usual[yesterday]]
    for deviation in (from_season, from_usual):
        for length in (1, 3, day, season):
            mean = deviation[origins[:, None] - 1 - np.arange(length)].mean(axis=1)
            columns.append(np.broadcast_to(mean[:, None], target.shape))
    columns += [usual[target] - base]
    columns += [history[target - lag] - base for lag in (2 * season, 3 * season)]
    if year:
        columns.append(history[target - year] - history[target - year - season])
    return np.stack(columns, axis=-1)


def _robust(features: Array, wanted: Array, groups: int, huber: float) -> tuple[Array, Array]:
    """Robust regression of every step at once: coefficients (steps, features), errors.

    The errors are those of leaving a whole group of neighbouring origins out (the block version of
    e / (1 - h)): what a forecast of that week would have been wrong by.
    """
    by_step = np.ascontiguousarray(features.transpose(1, 2, 0))
    ridge = _RIDGE * len(wanted) * np.eye(features.shape[2])
    weight = np.ones(wanted.shape)
    for _ in range(_ROUNDS):
        weighted = by_step * weight.T[:, None, :]
        gram = weighted @ by_step.transpose(0, 2, 1) + ridge
        coefficients = np.linalg.solve(gram, weighted @ wanted.T[:, :, None])[..., 0]
        errors = wanted - np.einsum("ohi,hi->oh", features, coefficients)
        bound = huber * 1.4826 * np.median(np.abs(errors), axis=0)
        weight = np.minimum(1.0, (bound + 1e-12) / (np.abs(errors) + 1e-12))
    rows = features.reshape(-1, groups, *features.shape[1:]).transpose(1, 2, 0, 3)
    weight_of = weight.reshape(-1, *rows.shape[:2]).transpose(1, 2, 0)
    hat = (rows @ np.linalg.inv(gram)) @ rows.transpose(0, 1, 3, 2) * weight_of[:, :, None, :]
    fitted = errors.reshape(-1, *rows.shape[:2]).transpose(1, 2, 0)[..., None]
    left_out = np.linalg.solve(np.eye(rows.shape[2]) - hat, fitted)[..., 0]
    return coefficients, left_out.transpose(2, 0, 1).reshape(errors.shape)


@dataclass(frozen=True)
class _DirectState:
    model: DirectRegression
    history: Array
    known: int  # values that the regressions are estimated on
    day: int
    season: int
    year: int
    cache: dict[int, tuple[Array, Array]] = field(default_factory=dict, repr=False)
    made: dict[int, Array] = field(default_factory=dict, repr=False)  # season ahead, by origin

    def extend(self, values: Array) -> _DirectState:
        history = np.concatenate([self.history, values])
        return replace(self, history=history, made=dict(self.made))

    def _known_by(self, history: Array, origins: Array) -> tuple[Array, Array]:
        """The history without its spikes where the origins look, and what each origin knows."""
        looks_back = self.year + (2 * self.model.profile + 2) * self.season
        start = max(int(origins.min(initial=history.size)) - looks_back, 0)
        clean = _without_spikes(history[start:], self.season, self.model.profile)
        usual = _usual(clean, self.season, self.model.profile)
        known = _features(clean, origins - start, usual, self.day, self.season, self.year)
        return np.concatenate([history[:start], clean]), known

    def _origins(self) -> Array:
        """Earlier origins at this time of the season, the season after them known; latest first."""
        around, profile = self.model.around, self.model.profile
        last = self.known - self.season - around
        last -= (last - self.history.size) % self.season
        first = max(profile + 1, self.year // self.season + 1) * self.season + around
        return np.arange(last, first - 1, -self.season)[:_USED]

    def _regressions(self) -> tuple[Array, Array]:
        """Coefficients by step, and errors of forecasts that were not learnt from."""
        phase = self.history.size % self.season
        if phase not in self.cache:
            past, same, around = self.history[: self.known], self._origins(), self.model.around
            origins = np.concatenate([same + shift for shift in range(-around, around + 1)])
            clean, features = self._known_by(past, origins)
            target = origins[:, None] + np.arange(self.season)
            wanted = past[target] - clean[target - self.season]
            self.cache[phase] = _robust(features, wanted, same.size, self.model.huber)
        return self.cache[phase]

    def _centre(self, history: Array, origins: Array) -> Array:
        """The season that each origin forecasts: (origins, season)."""
        clean, features = self._known_by(history, origins)
        base = clean[origins[:, None] + np.arange(-self.season, 0)]
        return np.asarray(base + np.einsum("ohi,hi->oh", features, self._regressions()[0]))

    def _path(self, history: Array, steps: int) -> Array:
        """Beyond one season a forecast goes on from itself."""
        path = history
        while path.size < history.size + steps:
            path = np.concatenate([path, self._centre(path, np.array([path.size]))[0]])
        return path[history.size : history.size + steps]

    def predict(self, steps: int) -> Prediction:
        if steps > self.season:
            known = [o for o in self._origins() if o + steps <= self.known]
            paths = [self._path(self.history[:o], steps) for o in known]
            errors = np.array([self.history[o : o + steps] for o in known]) - np.array(paths)
            return Prediction(self._path(self.history, steps), errors=errors)
        origins = np.arange(self.history.size, self.known - 1, -self.season)
        for origin in origins.tolist():
            if origin not in self.made:
                self.made[origin] = self._centre(self.history[:origin], np.array([origin]))[0]
        centre = np.array([self.made[origin] for origin in origins.tolist()])
        came = self.history[origins[1:][:, None] + np.arange(self.season)]
        # an origin since then counts as often as one that was learnt from with its neighbours
        since = np.repeat(came - centre[1:], 2 * self.model.around + 1, axis=0)
        errors = np.concatenate([since, self._regressions()[1]])
        return Prediction(centre[0, :steps], errors=errors[:, :steps])


@dataclass(frozen=True)
class DirectRegression:
    """Regressions on recent deviations, one a step ahead; needs about a year of weeks.

    Parameters
    ----------
    profile : int
        Seasons whose median is the usual value of an hour.
    around : int
        Neighbouring origins on either side of each that are learnt from as well.
    huber : float
        Errors beyond so many robust standard deviations count less.
    """

    profile: int = 8
    around: int = 1
    huber: float = 1.5
    log: bool = True
    name: str = "direct"

    def fit(self, history: Array, seasons: tuple[int, ...]) -> _DirectState:
        day, season = min(seasons, default=0), max(seasons, default=0)
        whole, needed = history.size // season if season else 0, _LEAST + self.profile + 3
        if whole < needed:
            raise ValueError(f"direct: {whole} whole seasons are too few, need {needed}")
        year = _YEAR * season if whole >= _LEAST + _YEAR + 4 else 0
        return _DirectState(self, history, history.size, day, season, year)
