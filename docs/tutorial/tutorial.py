# Cells in the percent format of jupytext; python docs/tutorial/run.py executes them and writes index.md.
# ruff: noqa: B018, E402

# %% [markdown]
# # Tutorial
#
# From a file to a restored one, in Python, on the mini prior (version 3) that comes with the package: everything here
# runs offline on a laptop. Each block is followed by what it printed when this page was made
# (`python docs/tutorial/run.py`); the same [as a notebook](tutorial.ipynb).
#
# ## Read
#
# Audio is an array, (channels, time), full scale 1.

# %%
import diffmusic

audio, rate = diffmusic.read("examples/clip.flac")
print(audio.shape, rate)

# %% [markdown]
# ## Restore
#
# Lose a second, and have it filled. The operator says what was damaged, in text as on the command line or as an
# instance, and so does the solver: by default `auto`, which takes the prior only where nothing simpler will do. `steps`
# are noise levels, more of which are slower and finer.

# %%
lost = audio.copy()
lost[:, 4 * rate : 5 * rate] = 0
result = diffmusic.restore(lost, rate, "inpainting gap=4:5", solver="diffmusic", steps=10)
print(result.audio.shape, result.costs.as_dict())
print(result.record["solver"], result.record["solver_parameters"])

# %% [markdown]
# Outside of the gap every sample is the recording's. Inside, how far is it from what was played? A metric is a function
# of the truth, the estimate and the rate.

# %%
inside = slice(4 * rate, 5 * rate)
outside = abs(result.audio[0] - audio)
outside[:, inside] = 0
lsd = diffmusic.load_metric("lsd")
print("changed outside:", outside.max())
print("LSD of silence: ", round(lsd(audio[:, inside], lost[:, inside], rate), 2))
print("LSD of result:  ", round(lsd(audio[:, inside], result.audio[0][:, inside], rate), 2))

# %% [markdown]
# ## Look and listen
#
# In a notebook a result by itself shows a player and a spectrogram. `plot` draws the spectrogram alone, with the damage
# marked.

# %%
result.plot()

# %%
diffmusic.write("restored.ogg", result.audio[0][:, 3 * rate : 6 * rate], rate)

# %% [markdown]
# <audio controls src="restored.ogg"></audio>
#
# ## Several samples
#
# The recording does not tell what was lost: each sample is another answer. Where they differ, nobody knows.

# %%
drawn = diffmusic.restore(lost, rate, "inpainting gap=4:5", solver="diffmusic", steps=5, samples=3)
spread = drawn.audio.std(axis=0).mean(axis=0)
print("spread inside: ", round(float(spread[inside].mean()), 4))
print("spread outside:", float(spread[: 4 * rate].max()))

# %% [markdown]
# ## A callback
#
# `on_step` sees every step, and may ask for the clean estimate so far, which costs a pass of the network and one of the
# decoder. The two channels are solved as mid and side, here one after the other.


# %%
def watch(snapshot):
    estimate = snapshot.estimate()
    print(f"{snapshot.step:2} of {snapshot.steps}: sigma {snapshot.sigma:6.3f}, RMS {estimate.std():.4f}")


diffmusic.restore(lost, rate, "inpainting gap=4:5", solver="diffmusic", steps=6, on_step=watch).audio.shape

# %% [markdown]
# ## An operator of your own
#
# An operator is a frozen dataclass with `forward`, which says what would have been measured. This one muffles: it
# averages half a millisecond. `sample_rate` is set to the rate at which it is applied, which is the prior's while it
# solves. That is all it takes to be checked, and inverted.

# %%
from dataclasses import dataclass

from torch.nn import functional

from diffmusic.testing import check_operator


@dataclass(frozen=True)
class Muffle:
    sample_rate: int = 16000

    def forward(self, x):
        width = round(self.sample_rate / 2000)
        return functional.avg_pool1d(functional.pad(x, (width - 1, 0)), width, 1)


check_operator(Muffle())

# %%
import torch

part = audio[:, : 3 * rate]
muffled = Muffle(rate).forward(torch.from_numpy(part)[None])[0].numpy()
clear = diffmusic.restore(muffled, rate, Muffle(), steps=10)
print("LSD of the muffled:", round(lsd(part, muffled, rate), 2))
print("LSD of the result: ", round(lsd(part, clear.audio[0], rate), 2))

# %% [markdown]
# [Writing a plugin](../plugins.md) makes a distribution of it, with parameters, flags and help.
#
# ## Edit by text
#
# Nothing is damaged: the same recording, on its way to something else. More `strength` changes more.

# %%
edited = diffmusic.edit(
    part, rate, "xylophone, strings, bass and drums", source="flute, strings, bass and drums", strength=8, steps=20
)
edited.plot()

# %% [markdown]
# ## Which solver is better?
#
# `benchmark` ranks solvers on the same clips with as many levels each, an instance of your own among them. The numbers
# in brackets are clips; of one clip they say nothing yet.

# %%
from diffmusic_solvers.repaint import RePaint

ranked = diffmusic.benchmark(
    "mini", RePaint(repeats=3), clips="examples", against=["mmps", "interpolate"], count=1, seconds=2.5, steps=6
)
print([line.row for line in ranked.ranking()])
ranked

# %% [markdown]
# Where to go from here: [every function](../api/index.md), [exploring](../exploring.md) and [fusing](../fusion.md),
# [suites of problems](../benchmarks.md), [which solver and which prior](../choosing.md), and
# [other priors](../components.md): `model="audioldm2"`.
