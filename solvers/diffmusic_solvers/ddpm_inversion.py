"""Edit-friendly DDPM inversion: the recording imprinted in the sampler's noise, replayed under the target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from torch import Tensor

from diffmusic.editor.contract import Edit
from diffmusic.editor.inversion import Code, independent_path, invert, replay, shifted
from diffmusic.editor.streamed_code import coded
from diffmusic.editor.strokes import Strokes, painted
from diffmusic.errors import InputError
from diffmusic.parameters import Doc, Field
from diffmusic.solver import deviations


@dataclass(frozen=True)
class DDPMInversion:
    """Edit-friendly DDPM inversion: the recording as residuals of a stochastic sampler, replayed under the target.

        z_i   = z_0 + sigma_i n_i,   n_i independent              the path of the recording
        r_i   = z_{i+1} - m(z_i)                                  under the source
        z~_0  = z_0 path's first,   z~_{i+1} = m~(z~_i) + r_i     under the target

    with ``m(z) = D + k (z - D) / sigma`` of the DDPM step (``diffmusic.solver``), for networks that preserve variance
    and such that do not. ``order`` 2 is the second-order multistep SDE solver of Stable Audio.

    The code may be changed before it is replayed: ``shift`` moves it in time; ``stroke`` raises or lowers a region of
    the spectrogram by ``z~_{i+1} += s_i amount ((M - z_0) - (D~ - D))``, with ``M`` the latents of the painted
    recording. It is eq. 7 of arXiv:2304.06140, ``s_i amount B (M - D)``, where ``D`` is exact; elsewhere it draws
    nothing that was not painted, and it stops once the result has arrived at ``M``.

    It differs from the released code of both papers: residuals replace noise maps, the last step included; only the
    levels of the edit are inverted; ``k^2 = sigma'^2 - s^2`` at any ``eta``.

    Source: I. Huberman-Spiegelglas et al., arXiv:2304.06140, eq. 5 and 6; for audio H. Manor and T. Michaeli,
    arXiv:2402.10009, eq. 3 and 4.
    """

    eta: Annotated[float, Field(gt=0, le=1), Doc("fresh noise of the sampler that is inverted")] = 1.0
    order: Annotated[int, Field(ge=1, le=2), Doc("order of the sampler that is inverted")] = 1
    shift: Annotated[float, Doc("seconds by which the music moves, later or earlier")] = 0.0
    stroke: Annotated[Strokes, Doc("START:END,LOW:HIGH,DB in seconds, Hz and dB; several with ;")] = ()
    amount: Annotated[float, Field(ge=0), Doc("how hard a stroke is pressed, a step")] = 0.5

    def edit(self, task: Edit) -> Tensor:
        if frames := round(self.shift * task.frame_rate):
            kept = invert(task, independent_path(task), self.eta, self.order)
            code: Code = kept.changed(lambda x: shifted(x, frames, 3))
        else:
            code = coded(task, self.eta, self.order)
        if not self.stroke:
            return replay(task, code, self.eta, self.order)
        change = task.each_target(self._wanted(task) - task.z0)

        def drift(index: int, clean: Tensor) -> Tensor:
            _, s = deviations(task.sigmas[index], task.sigmas[index + 1], self.eta)
            return s * self.amount * (change - (clean - task.each_target(code.step(index).clean)))

        return replay(task, code, self.eta, self.order, drift)

    def _wanted(self, task: Edit) -> Tensor:
        """Return ``M``: the latents of the recording with the strokes painted on it, (items, ...)."""
        if task.encode is None or task.audio is None:
            raise InputError("strokes are drawn on audio, and this edit has none")
        return task.encode(painted(task.audio, task.sample_rate, self.stroke, task.offset))
