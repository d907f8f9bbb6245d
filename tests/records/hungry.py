"""An algorithm that takes memory, prints or skips if its label says so."""

from __future__ import annotations

from tosip import Algorithm, Inputs, Outputs, Result, Status, output, param


class Params(Inputs):
    label: str = param("What to do", default="", length=20)


class Figures(Outputs):
    count: int = output("Number of pixels")
    profile: str = output("The label", length=30)
    mean: float = output("Mean pixel", units="ADU")


class Hungry(Algorithm[Params, Figures]):
    """Does what its label says."""

    def process(self, image, params, attributes, metadata):
        if params.label == "eat":
            kept = []
            while True:
                kept.append(b"1" * 2**20)
        if params.label == "talk":
            for number in range(100_000):
                print("line", number)
        if params.label == "skip":
            return Result(status=Status.SKIP, message="told to skip")
        mean = float(image.mean())
        return Figures(count=image.size, profile=params.label, mean=mean)
