"""The same classes as in `adcore_client`, addressed by the PVI structures."""

import asyncio
import json
import sys

from tests.clients.adcore_client import main

if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], with_pvi=True))))
