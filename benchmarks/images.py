"""What it costs to return a new image of the frame's size.

An array that the algorithm has already is copied once, into memory that the plugins behind can
read. An image that was asked for with `new_image` lies there from the start and is not copied. The
memory of both is used again and again: its pages are there.
"""

from __future__ import annotations

from benchmarks.handoff import COPY, copies
from benchmarks.rig import MIB, Rig
from benchmarks.timing import Block, in_turns, medians, spread, table, targets

_SIZE = 32 * MIB
_ROUNDS = 12
_TRIPS = 20
_QUICK_TRIPS = 200
_BODY = """
if not hasattr(self, "kept"):
    self.kept, self.other = np.array(image), np.array(image)
if params.p0 == 1:
    np.copyto(self.other, self.kept)
elif params.p0 == 2:
    self.kept.fill(7)
elif params.p0 == 3:
    return Result(Figures(), image=self.kept)
elif params.p0 == 4:
    made = self.new_image(image.shape, image.dtype)
    made.fill(7)
    return Result(Figures(), image=made)
elif params.p0 == 5:
    return Result(Figures(), image=self.new_image(image.shape, image.dtype))
return Figures()
"""
NOTHING, COPIED, FILLED = "nothing", "np.copyto in the worker", "fill of an array that exists"
OLD, NEW, UNTOUCHED = "returns an array that exists", "new_image, fill", "new_image, untouched"
_WAYS = (NOTHING, COPIED, FILLED, OLD, NEW, UNTOUCHED)


def main() -> None:
    """Print the tables."""
    with Rig() as rig:
        rig.fill_buffers(_SIZE)
        plugin = rig.plugin(_BODY)
        blocks: dict[str, Block] = {COPY: copies(rig, _SIZE)}
        for number, way in enumerate(_WAYS):
            count = _QUICK_TRIPS if way in (NOTHING, UNTOUCHED) else _TRIPS
            blocks[way] = rig.trips(plugin, _SIZE, count, p0=number)
        taken = in_turns(blocks, _ROUNDS, first=1)
        rig.check_nothing_lost()
    middle = medians(taken)
    table(
        f"Round trip with an image of {_SIZE // MIB} MiB, {_ROUNDS} rounds",
        ("process", "median us", "p10", "p90", "times np.copyto"),
        [(way, *spread(taken[way]), f"{middle[way] / middle[COPY]:.3f}") for way in taken],
    )
    old, filled = middle[OLD] / middle[COPY], middle[NEW] / middle[FILLED]
    within = middle[OLD] / middle[COPIED]
    handed = (middle[UNTOUCHED] - middle[NOTHING]) / middle[COPY]
    targets(
        "Returning an image",
        [
            ("an array that exists, against np.copyto here", f"{old:.2f}", "< 1.3", old < 1.3),
            ("the same, against np.copyto in the worker", f"{within:.2f}", "< 1.3", within < 1.3),
            ("new_image and fill, against fill alone", f"{filled:.2f}", "< 1.1", filled < 1.1),
            ("new_image, what it adds, in copies", f"{handed:.3f}", "< 0.1", handed < 0.1),
        ],
    )


if __name__ == "__main__":
    main()
