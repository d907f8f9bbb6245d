"""Random kills: what was acknowledged is kept. `make soak` does the same a thousand times."""

import random

from tests.gateway.faults.plant import Plant
from tests.gateway.faults.schedule import run

KILLS = 20
SECONDS = 12.0


def test_nothing_acknowledged_is_lost_by_random_kills(plant: Plant):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}: python -m tests.gateway.faults.soak --seed {seed} --kills {KILLS}")
    report = run(plant, seed, KILLS, SECONDS)
    print(report)
    assert not report.faults, report
    assert report.kills > KILLS // 4
    assert plant.ledger.acknowledged
