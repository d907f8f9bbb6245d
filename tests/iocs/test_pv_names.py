"""NEOSTED's PVs are those that archivers, screens and scripts know: none changes by accident.

`neosted_pvs` lists them, those of all cameras under the number NN. A PV that is added, removed or
renamed on purpose is changed there: `TOSIP_REGENERATE=1 pytest tests/iocs/test_pv_names.py`.
"""

import os
import re
from pathlib import Path

from tests.iocs.test_screens import screens_of

KNOWN = Path(__file__).with_name("neosted_pvs")


def test_neosted_serves_the_pvs_that_it_served_before(neosted):
    names = (screens_of(neosted) / "pvs").read_text().split()
    plain = (name.removeprefix(neosted.prefix) for name in names)
    served = sorted({re.sub(r"(CAM|FOCUS|cam|focus)\d\d", r"\1NN", name) for name in plain})
    if os.environ.get("TOSIP_REGENERATE"):
        KNOWN.write_text("".join(f"{name}\n" for name in served))

    assert served == KNOWN.read_text().split()
