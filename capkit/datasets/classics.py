"""Two short series that every textbook prints: what a forecast must reproduce to the digit."""

from __future__ import annotations

import numpy as np
import pandas as pd

_AIR = """
112 118 132 129 121 135 148 148 136 119 104 118 115 126 141 135 125 149 170 170 158 133 114 140
145 150 178 163 172 178 199 199 184 162 146 166 171 180 193 181 183 218 230 242 209 191 172 194
196 196 236 235 229 243 264 272 237 211 180 201 204 188 235 227 234 264 302 293 259 229 203 229
242 233 267 269 270 315 364 347 312 274 237 278 284 277 317 313 318 374 413 405 355 306 271 306
315 301 356 348 355 422 465 467 404 347 305 336 340 318 362 348 363 435 491 505 404 359 310 337
360 342 406 396 420 472 548 559 463 407 362 405 417 391 419 461 472 535 622 606 508 461 390 432
"""
_WWW = """
88 84 85 85 84 85 83 85 88 89 91 99 104 112 126 138 146 151 150 148 147 149 143 132 131 139 147 150
148 145 140 134 131 131 129 126 126 132 137 140 142 150 159 167 170 171 172 172 174 175 172 172 174
174 169 165 156 142 131 121 112 104 102 99 99 95 88 84 84 87 89 88 85 86 89 91 91 94 101 110 121 135
145 149 156 165 171 175 177 182 193 204 208 210 215 222 228 226 222 220
"""
_CLASSICS = {"air_passengers": (_AIR, "1949-01-01", "MS"), "www_usage": (_WWW, "2000-01-01", "min")}


def load_classic(name: str) -> pd.Series:
    """A textbook series by name.

    Parameters
    ----------
    name : {"air_passengers", "www_usage"}
        International airline passengers, thousands a month, 1949 to 1960 (Box and Jenkins 1976, series
        G); or users connected to a server, a value a minute, whose date is not known and set to 2000
        (Makridakis, Wheelwright and Hyndman 1998).

    Returns
    -------
    Series
        Floats on a regular DatetimeIndex.

    >>> load_classic("air_passengers")["1960-12"].tolist(), len(load_classic("www_usage"))
    ([432.0], 100)
    """
    if name not in _CLASSICS:
        raise ValueError(f"the series are {', '.join(_CLASSICS)}; got {name!r}")
    text, start, freq = _CLASSICS[name]
    values = np.array(text.split(), dtype=float)
    index = pd.date_range(start, periods=values.size, freq=freq, name="time")
    return pd.Series(values, index, name=name)
