"""`make simulate`: the simulator, with a share of the seeds side by side on PostgreSQL."""

import os
import sys

from stageline_engine.testing.simulation.__main__ import main
from tests.property.beside import release
from tests.support.postgres import URL_VARIABLE, server_url

if __name__ == "__main__":
    with server_url() as url:
        os.environ[URL_VARIABLE] = url
        status = main(["--beside", "tests.property.beside:on_postgres", *sys.argv[1:]])
        release()
    sys.exit(status)
