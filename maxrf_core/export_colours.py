"""Colour maps for figures, the same as the page's, without the libraries that draw it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .errors import ParameterError

__all__ = ["COLOUR_MAPS", "colour_table"]

_EVERY = 5
_POINTS = {
    "viridis": (
        "44015445085B470F62471669481D6F482374472A7946307D453681433C844142863E48883C4D8A3A538B"
        "37588C355D8C32628D30678D2E6C8E2C718E2A768E287A8E267F8E24848D23898D218D8C1F928C1E978A"
        "1E9B891EA08720A58523A98228AE7F2EB27C35B7783DBB7445BF6F4FC36959C76464CB5D70CE567CD24F"
        "88D54795D73FA2DA37AFDC2EBDDE26CAE01ED7E219E4E318F1E51CFDE724"
    ),
    "cividis": (
        "00204C00235500275D002A66002E6E00316F00346E12386D1E3C6C273F6C2F436B36466B3C4A6B424E6B"
        "47516B4C556B51586C565C6C5B5F6D5F636E64676F686A706D6E727172737575757A79777E7D78838178"
        "8885788D8878928C789790779C9477A19876A69C75ABA174B0A572B6A971BBAD6FC0B16DC6B66BCBBA68"
        "D1BF66D6C363DCC860E1CC5CE7D158EDD654F3DB4FF9E049FFE443FFE945"
    ),
    "inferno": (
        "00000301010B0403160906210F092D160B391D0C45260B502E0A5A370961400966480B6A500D6C58106D"
        "60136E68166E70196E781C6D801F6B88216A902468982765A02A62A72D5FAF315BB73456BE3852C53D4D"
        "CC4148D24742D94D3DDE5337E45A31E8612BED6825F0701EF37918F68111F88A0BFA9306FB9D06FBA60B"
        "FBB014FBB91EF9C32AF8CD37F5D745F3E056F1E968F1F27DF5F891FCFEA4"
    ),
    "magma": (
        "00000301010B04041509071F0E0A2A140D351A104120114D281159301065390F6E420F744A107952127C"
        "5A157E61187F691C80711F81792281812581892881912A80992D7FA12F7EA9327CB1357AB93778C23A75"
        "CA3E72D1426ED9466AE04B66E65162EC585FF0605DF4685BF7715BF97B5DFB8460FC8E63FD9768FDA16E"
        "FEAA74FEB37BFEBC82FEC689FDCF92FDD89AFDE1A3FCEAACFCF3B5FBFCBF"
    ),
}
"""Every fifth of the 256 colours of matplotlib's maps (public domain, CC0); those between them
follow within three levels. cividis: J. R. Nunez et al., PLoS ONE 13 (2018) e0199239."""

COLOUR_MAPS = (*_POINTS, "gray")
"""Perceptually uniform and safe for colour-blind eyes, dark to bright."""


def colour_table(name: str) -> npt.NDArray[np.uint8]:
    """Return the 256 colours of a colour map, (256, 3), dark to bright.

    Raises
    ------
    ParameterError
        If there is none of that name.
    """
    if name not in COLOUR_MAPS:
        raise ParameterError(f"colour_map is {name!r}; expected one of {', '.join(COLOUR_MAPS)}.")
    if name == "gray":
        return np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    points = np.frombuffer(bytes.fromhex(_POINTS[name]), np.uint8).reshape(-1, 3)
    places = _EVERY * np.arange(len(points))
    between = [np.interp(np.arange(256), places, channel) for channel in points.T]
    return np.round(np.stack(between, axis=1)).astype(np.uint8)
