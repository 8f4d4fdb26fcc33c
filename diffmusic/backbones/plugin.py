"""Specs of the backbones in this package; imports none of them."""

from diffmusic.plugins import Checkpoint, Spec, hookimpl

NON_COMMERCIAL = "CC BY-NC-SA 4.0"
STABILITY = "Stability AI Community"
# Operations of a second of audio: the network as counted at 10.24 s, the decoder with the passes that are made again.
AUDIOLDM2, MUSICLDM = (16.7, 166.0, 546.0), (10.1, 166.0, 546.0)
# Measured at 5.12 and 10.24 s (benchmarks/README.md), and taken as linear in time.
MEMORY = (1.42, 0.054)
# The same, its network in bfloat16; the operations are counted in windows of 48 s.
ACE_STEP_MEMORY, ACE_STEP = (3.09, 0.201), (105.6, 165.7, 496.9)


@hookimpl
def diffmusic_backbones() -> list[Spec]:
    return [
        Spec(
            "mini",
            "diffmusic.backbones.musicldm:mini",
            "the small prior inside this package: 16 kHz mono, 30 MB",
            pipelines=("DiffmusicMini",),
            licence="CC BY-SA 4.0",
            stated="diffmusic/backbones/mini/LICENSE in this package",
        ),
        Spec(
            "audioldm",
            "diffmusic.backbones.musicldm:MusicLDM.load",
            "AudioLDM (small, medium, large), 16 kHz mono",
            pipelines=("AudioLDMPipeline",),
            checkpoints=(
                # The same network as MusicLDM's, trained on all kinds of sound.
                Checkpoint(
                    "cvssp/audioldm-s-full-v2",
                    16000,
                    1,
                    421,
                    NON_COMMERCIAL,
                    sampling=296,
                    gflop=MUSICLDM,
                    memory=MEMORY,
                ),
                Checkpoint("cvssp/audioldm-m-full", 16000, 1, 652, NON_COMMERCIAL),
                Checkpoint("cvssp/audioldm-l-full", 16000, 1, 975, NON_COMMERCIAL),
            ),
        ),
        Spec(
            "musicldm",
            "diffmusic.backbones.musicldm:MusicLDM.load",
            "MusicLDM, 16 kHz mono",
            pipelines=("MusicLDMPipeline",),
            checkpoints=(
                Checkpoint(
                    "ucsd-reach/musicldm", 16000, 1, 449, NON_COMMERCIAL, sampling=296, gflop=MUSICLDM, memory=MEMORY
                ),
            ),
        ),
        Spec(
            "audioldm2",
            "diffmusic.backbones.audioldm2:AudioLDM2.load",
            "AudioLDM2 (base, large, music), 16 kHz mono",
            pipelines=("AudioLDM2Pipeline",),
            checkpoints=(
                Checkpoint(
                    "cvssp/audioldm2-music",
                    16000,
                    1,
                    1100,
                    NON_COMMERCIAL,
                    sampling=458,
                    gflop=AUDIOLDM2,
                    memory=MEMORY,
                ),
                Checkpoint(
                    "cvssp/audioldm2", 16000, 1, 1100, NON_COMMERCIAL, sampling=458, gflop=AUDIOLDM2, memory=MEMORY
                ),
                Checkpoint("cvssp/audioldm2-large", 16000, 1, 1500, NON_COMMERCIAL),
            ),
        ),
        Spec(
            "stable-audio",
            "diffmusic.backbones.stable_audio:StableAudio.load",
            "Stable Audio Open, 44.1 kHz stereo",
            pipelines=("StableAudioPipeline",),
            checkpoints=(Checkpoint("stabilityai/stable-audio-open-1.0", 44100, 2, 1323, STABILITY, True, 47.55),),
        ),
        Spec(
            "stable-audio-3",
            "diffmusic.backbones.stable_audio_3:StableAudio3.load",
            "Stable Audio 3, 44.1 kHz stereo, from a folder in the layout of diffusers",
            pipelines=("StableAudio3Pipeline", "StableAudio3InpaintPipeline", "StableAudio3AudioToAudioPipeline"),
            licence=STABILITY,
            stated="https://huggingface.co/stabilityai/stable-audio-3-medium-base",
        ),
        Spec(
            "ace-step",
            "diffmusic.backbones.ace_step:AceStep.load",
            "ACE-Step 1.5 (base, sft), 48 kHz stereo",
            pipelines=("AceStepPipeline",),
            checkpoints=(
                Checkpoint(
                    "ACE-Step/acestep-v15-xl-base-diffusers",
                    48000,
                    2,
                    5542,
                    "MIT",
                    excerpt_seconds=48.0,
                    sampling=4338,
                    gflop=ACE_STEP,
                    memory=ACE_STEP_MEMORY,
                    stated="https://huggingface.co/ACE-Step/Ace-Step1.5",
                ),
            ),
        ),
    ]
