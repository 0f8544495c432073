"""Every job that has to record a result has a claim that it can record."""

import fnmatch

import pytest

from attnlib import claims, profiles
from attnlib.claims import records

# A job, as profile, notebook and setting, and a claim that it records. The
# first pattern that fits counts.
RECORDED = {
    "* 00": "cost/60x60/conv/macs",
    "* 01": "encoder-decoder/reversal/falls-with-length/ordering",
    "quick 02": "bahdanau/number-words-en-de/rnnsearch/exact-match",
    "paper 02": "bahdanau/multi30k-de-en/rnnsearch-greedy/bleu",
    "paper 02 en-fr": "bahdanau/multi30k-en-fr/rnnsearch-greedy/bleu",
    "quick 03": "show-and-tell/digit-scenes/image-once-vs-every-step/ordering",
    "paper 03": "show-and-tell/flickr8k/nic/bleu-1",
    "paper 03 vgg19": "show-and-tell/flickr8k-vgg19/nic/bleu-1",
    "quick 04": "show-attend-and-tell/digit-scenes/soft-beats-nic/ordering",
    "quick 04 ablations": (
        "show-attend-and-tell/digit-scenes/penalty-raises-bleu/ordering"
    ),
    "paper 04": "show-attend-and-tell/flickr8k/soft/bleu-4",
    "paper 04 ablations": (
        "show-attend-and-tell/flickr8k/penalty-raises-bleu/ordering"
    ),
    "paper 04 vgg19": "show-attend-and-tell/flickr8k-vgg19/soft/bleu-4",
    "quick 05": "show-attend-and-tell/digit-scenes/hard-close-to-soft/ordering",
    "paper 05": "show-attend-and-tell/flickr8k/hard/bleu-4",
    "paper 05 vgg19": "show-attend-and-tell/flickr8k-vgg19/hard/bleu-4",
    "quick 06": "ram/digits28/more-glimpses-help/ordering",
    "paper 06 g2": "ram/mnist-28x28/2-glimpses/test-error",
    "paper 06 g4": "ram/mnist-28x28/4-glimpses/test-error",
    "paper 06 g6": "ram/mnist-28x28/6-glimpses/test-error",
    **{
        f"paper 06 {short}-g{count}": (
            f"ram/{name}/{count}-glimpses/test-error"
        )
        for short, name in (
            ("t60", "translated-60x60"),
            ("c60", "cluttered-60x60"),
            ("c100", "cluttered-100x100"),
        )
        for count in (4, 6, 8)
    },
    "paper 06 c60-random": "ram/cluttered-60x60/8-random-glimpses/test-error",
    "paper 06 c100-random": (
        "ram/cluttered-100x100/8-random-glimpses/test-error"
    ),
    "paper 06 nets": "ram/mnist-28x28/fc-2x256/test-error",
    "paper 06 t60-nets": "ram/translated-60x60/fc-2x256/test-error",
    "paper 06 c60-nets": "ram/cluttered-60x60/fc-2x256/test-error",
    "paper 06 c100-nets": "ram/cluttered-100x100/conv/test-error",
    "paper 06 pairs-ram": "dram/mnist-pairs-100x100/ram/test-error",
    "paper 06 pairs-no-context": (
        "dram/mnist-pairs-100x100/dram-no-context/test-error"
    ),
    "paper 06 pairs-dram": "dram/mnist-pairs-100x100/dram/test-error",
    "paper 06 sums-conv": "dram/mnist-addition-100x100/conv/test-error",
    "paper 06 sums-dram": "dram/mnist-addition-100x100/dram/test-error",
    "paper 06 catch": "ram/catch-24x24/lstm-3-scales-6x6/catch-rate",
    "quick 07": "draw/digits28/more-steps-help/ordering",
    "paper 07 t10": "draw/binarised-mnist/draw-10-steps/nll",
    "paper 07 t32": "draw/binarised-mnist/draw-32-steps/nll",
    "paper 07 t64": "draw/binarised-mnist/draw-64-steps/nll",
    "paper 07 t64-no-windows": "draw/binarised-mnist/draw-no-attention/nll",
    "paper 07 t64-long": "draw/binarised-mnist/draw/nll",
    "paper 07 read60": "draw/cluttered-60x60/reads-8/test-error",
    "paper 07 read100-4": "draw/cluttered-100x100/reads-4/test-error",
    "paper 07 read100-8": "draw/cluttered-100x100/reads-8/test-error",
    "quick 08": "handwriting/hershey/text-helps-log-loss/ordering",
    "paper 08": "handwriting/iam-ondb/synthesis/log-loss",
    "paper 08 noise": "handwriting/iam-ondb/synthesis-noise/log-loss",
    "paper 08 small": "handwriting/iam-ondb-small/synthesis/nats-per-line",
    "quick 09": "stn/digits-r/st-fcn-beats-fcn/ordering",
    "paper 09 addition-plain": "stn/mnist-addition/fcn/test-error",
    **{
        f"paper 09 addition-{word}-{warp}": (
            f"stn/mnist-addition/{prefix}st-{warp}/test-error"
        )
        for word, prefix in (("one", ""), ("two", "2x"))
        for warp in ("aff", "proj", "tps")
    },
    "paper 09 colocalisation": (
        "stn/colocalisation-t/st-attention/iou-above-half"
    ),
    **{
        f"paper 09 {task}-{net}-proj-tps": (
            f"stn/mnist-{task}/st-{net}-proj/test-error"
        )
        for task in ("r", "rts", "p", "e")
        for net in ("fcn", "cnn")
    },
    **{
        f"paper 09 {task}-{net}": f"stn/mnist-{task}/{net}/test-error"
        for task in ("r", "rts", "p", "e", "tc")
        for net in ("fcn", "cnn")
    },
    "quick 10": "stn/two-part-glyphs/parallel-beats-one/ordering",
    "quick 10 4-st": "stn/two-part-glyphs/four-beat-none/ordering",
    "paper 10 flowers17": "stn/flowers17/parallel-beats-none/ordering",
    "paper 10 cub-200": "stn/cub-200-scratch/parallel-beats-none/ordering",
    "quick 11": "vqa/scenes/two-layers-win-on-two-hops/ordering",
    "paper 11 positions": "vqa/smem-absolute-position/smem-1-hop/accuracy",
    "paper 11 scenes": "vqa/scenes/second-hop-helps-smem/ordering",
    "paper 11 easy-vqa": "vqa/easy-vqa/image-helps/ordering",
    "paper 11 daquar-all": "vqa/daquar-all/san-1-lstm/accuracy",
    "paper 11 visual7w": "vqa/visual7w-what/lstm-att/accuracy",
    "paper 11 vqa-v2": "vqa/vqa-v2/image-helps/ordering",
    "quick 12": "action/moving-digits/attention-beats-average/ordering",
    "paper 12 ucf11": "action/ucf-11/attention-lambda-0/accuracy",
    "paper 12 hmdb51": "action/hmdb-51/attention-lambda-0/accuracy",
    "quick 13": "saliency/scenes/refined-beats-global-mae/ordering",
    "paper 13": "saliency/horses/refined-beats-global-mae/ordering",
    "quick 14": "scale/scenes/attention-beats-pooling/ordering",
    "quick 14 3-scales": "scale/scenes/third-scale-helps/ordering",
    "paper 14 2-scales-extra": "scale/camvid/attention-beats-pooling/ordering",
    "paper 14 2-scales": "scale/camvid/extra-supervision-helps/ordering",
    "paper 14 3-scales-extra": "scale/camvid/third-scale-helps/ordering",
    "paper 14 3-scales": (
        "scale/camvid/third-scale-without-supervision/ordering"
    ),
    "paper 14 voc-baseline": "scale/voc12-val/baseline/mean-iou",
    **{
        f"paper 14 voc-{kind}": f"scale/voc12-val/{kind}/mean-iou"
        for kind in (
            f"{count}-scales-{merge}-extra"
            for count in (2, 3)
            for merge in ("max", "avg", "att")
        )
    },
    "quick 15": (
        "semantic-attention/digit-scenes/both-beat-single-beat-none/ordering"
    ),
    "paper 15": "semantic-attention/flickr8k/both-beats-none/ordering",
    "paper 15 ablations": (
        "semantic-attention/flickr8k/learned-beats-uniform/ordering"
    ),
    "paper 15 vgg19": (
        "semantic-attention/flickr8k-vgg19/both-beats-none/ordering"
    ),
}
JOBS = [
    job
    for profile in ("quick", "paper")
    for job in profiles.jobs(profile, seeds=1)
    if job.notebook not in profiles.READERS
]


def named(job):
    return " ".join(filter(None, (job.profile, job.notebook, job.setting)))


@pytest.mark.parametrize("job", JOBS, ids=named)
def test_a_job_has_a_claim_that_it_can_record(job):
    fits = [p for p in RECORDED if fnmatch.fnmatchcase(named(job), p)]
    assert fits, f"{named(job)}: say in RECORDED which claim it records"
    claim = claims.find(RECORDED[fits[0]])
    assert claim.notebook == job.notebook
    assert not claim.of and not claim.result
    # What other profiles say of a claim is shown as a trial: such a job is
    # for comparison, and its notebook has no claims of its own profile.
    assert claim.profile == job.profile or job.notebook in ("00", "01")


@pytest.mark.parametrize("pattern", RECORDED)
def test_every_pattern_fits_a_job(pattern):
    assert fnmatch.filter(map(named, JOBS), pattern)


@pytest.mark.parametrize("profile", profiles.NAMES)
def test_every_job_can_begin(profile, monkeypatch):
    monkeypatch.setattr(records, "revision", lambda: "unknown")
    for job in profiles.jobs(profile):
        claims.begin(job.notebook, profile, job.seed, job.setting)
        assert records._current.job == job
